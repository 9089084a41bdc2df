"""The ways in and out for agency people and for invited ones, on a workspace's host."""

from django.urls import path

from subaccounts.views import entering, joining

urlpatterns = [
    path("hop/", entering.hop_arrive, name="hop_arrive"),
    path("assist/return/", entering.assist_return, name="assist_return"),
    path("invitation/", joining.invitation, name="invitation"),
    path("invitation/<str:token>/", joining.invitation_link, name="invitation_link"),
    path("join/", joining.join_arrive, name="join_arrive"),
    path("join/token/", joining.join_issue, name="join_issue"),
]
