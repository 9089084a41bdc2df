"""The addresses of a workspace's own work. A view's file is named after its noun."""

from django.urls import path

from workspace.views import widget

urlpatterns = [
    path("widget.js", widget.script, name="widget_script"),
    path("widget/<uuid:public_id>/", widget.frame, name="widget"),
    path("widget/<uuid:public_id>/session/", widget.session, name="widget_session"),
    path("widget/<uuid:public_id>/messages/", widget.messages, name="widget_messages"),
    path("widget/<uuid:public_id>/conversation/", widget.conversation, name="widget_conversation"),
    path("widget/<uuid:public_id>/lead/", widget.lead, name="widget_lead"),
]
