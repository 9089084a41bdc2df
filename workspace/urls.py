"""The addresses of a workspace's own work. A view's file is named after its noun."""

from django.urls import path

from agency.access import Can
from agency.views import api_keys
from subaccounts.doors import workspace_door
from workspace.views import assists, audit, chatbots, credits, faqs, home, inbox, notices, usage, widget

urlpatterns = [
    path("", home.workspace_home, name="workspace_home"),
    path("usage/", usage.workspace_usage, name="workspace_usage"),
    path("usage/uses/", usage.workspace_uses, name="workspace_uses"),
    path("usage/uses.csv", usage.workspace_uses_csv, name="workspace_uses_csv"),
    path("credits/", credits.workspace_credits, name="workspace_credits"),
    path("credits/statement/", credits.workspace_statement, name="workspace_statement"),
    path("credits/statement.csv", credits.workspace_statement_csv, name="workspace_statement_csv"),
    path("credits/months/", credits.workspace_months, name="workspace_months"),
    path("credits/months/<str:month>/", credits.workspace_month, name="workspace_month"),
    path("credits/months/<str:month>.csv", credits.workspace_month_csv, name="workspace_month_csv"),
    path("credits/alerts/<slug:unit>/", credits.workspace_alert, name="workspace_alert"),
    path("settings/", home.workspace_settings, name="workspace_settings"),
    path("audit/", audit.workspace_audit, name="workspace_audit"),
    path("audit.csv", audit.workspace_audit_csv, name="workspace_audit_csv"),
    path("developers/", workspace_door(Can.MANAGE_WORKSPACE)(api_keys.keys), name="api_keys"),
    path("developers/keys/new/", workspace_door(Can.MANAGE_WORKSPACE, recent=True, assisting=False)(api_keys.new), name="api_key_new"),
    path(
        "developers/keys/<uuid:public_id>/",
        workspace_door(Can.MANAGE_WORKSPACE, recent=True, assisting=False)(api_keys.made),
        name="api_key_made",
    ),
    path(
        "developers/keys/<uuid:public_id>/revoke/",
        workspace_door(Can.MANAGE_WORKSPACE, assisting=False, unaudited="revoking writes its record; revoked again changes nothing")(
            api_keys.revoke
        ),
        name="api_key_revoke",
    ),
    path("settings/alerts/", notices.alert_settings, name="alert_settings"),
    path("settings/assists/", assists.workspace_assists, name="workspace_assists"),
    path("settings/assists/mails/", assists.workspace_assist_mails, name="workspace_assist_mails"),
    path("settings/assists/<uuid:public_id>/", assists.workspace_assist, name="workspace_assist"),
    path("notices/", notices.notices, name="notices"),
    path("notices/read/", notices.notices_read, name="notices_read"),
    path("notices/<uuid:public_id>/read/", notices.notice_read, name="notice_read"),
    path("inbox/", inbox.conversation_list, name="conversation_list"),
    path("inbox/<uuid:public_id>/", inbox.conversation_thread, name="conversation_thread"),
    path("inbox/<uuid:public_id>/answer/", inbox.conversation_answer, name="conversation_answer"),
    path("inbox/<uuid:public_id>/status/", inbox.conversation_status, name="conversation_status"),
    path("leads/", inbox.lead_list, name="lead_list"),
    path("leads/export.csv", inbox.lead_export, name="lead_export"),
    path("leads/<uuid:public_id>/handling/", inbox.lead_handling, name="lead_handling"),
    path("chatbots/", chatbots.chatbot_list, name="chatbot_list"),
    path("chatbots/new/", chatbots.chatbot_new, name="chatbot_new"),
    path("chatbots/<uuid:public_id>/", chatbots.chatbot, name="chatbot"),
    path("chatbots/<uuid:public_id>/edit/", chatbots.chatbot_edit, name="chatbot_edit"),
    path("chatbots/<uuid:public_id>/activation/", chatbots.chatbot_activation, name="chatbot_activation"),
    path("chatbots/<uuid:public_id>/removal/", chatbots.chatbot_removal, name="chatbot_removal"),
    path("chatbots/<uuid:public_id>/install/", chatbots.chatbot_install, name="chatbot_install"),
    path("chatbots/<uuid:public_id>/test/", chatbots.chatbot_test, name="chatbot_test"),
    path("chatbots/<uuid:public_id>/faqs/", faqs.faq_list, name="faq_list"),
    path("chatbots/<uuid:public_id>/faqs/new/", faqs.faq_new, name="faq_new"),
    path("chatbots/<uuid:public_id>/faqs/import/", faqs.faq_import_new, name="faq_import_new"),
    path("chatbots/<uuid:public_id>/faqs/template.csv", faqs.faq_import_template, name="faq_import_template"),
    path("chatbots/<uuid:public_id>/faqs/<uuid:faq_id>/", faqs.faq, name="faq"),
    path("chatbots/<uuid:public_id>/faqs/<uuid:faq_id>/deletion/", faqs.faq_deletion, name="faq_deletion"),
    path("chatbots/<uuid:public_id>/imports/<uuid:import_id>/", faqs.faq_import, name="faq_import"),
    path("chatbots/<uuid:public_id>/imports/<uuid:import_id>/confirmation/", faqs.faq_import_confirmation, name="faq_import_confirmation"),
    path("chatbots/<uuid:public_id>/imports/<uuid:import_id>/cancellation/", faqs.faq_import_cancellation, name="faq_import_cancellation"),
    path("chatbots/<uuid:public_id>/imports/<uuid:import_id>/rejected.csv", faqs.faq_import_failures, name="faq_import_failures"),
    path("widget.js", widget.script, name="widget_script"),
    path("widget/<uuid:public_id>/", widget.frame, name="widget"),
    path("widget/<uuid:public_id>/session/", widget.session, name="widget_session"),
    path("widget/<uuid:public_id>/messages/", widget.messages, name="widget_messages"),
    path("widget/<uuid:public_id>/conversation/", widget.conversation, name="widget_conversation"),
    path("widget/<uuid:public_id>/lead/", widget.lead, name="widget_lead"),
]
