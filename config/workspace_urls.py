"""A workspace's host: sign-in of clients, their work, and the widget their visitors talk to."""

from django.urls import include, path

from agency.urls import entrance
from billing.urls import workspace as billing_pages
from config import api, api_documentation

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    path("api/v1/", include((api.urlpatterns, "api"))),
    path("", include("subaccounts.workspace_urls")),
    path("", include("whitelabel.urls")),
    path("", include("workspace.urls")),
    *entrance,
    *api_documentation.workspace,
    *billing_pages,
]
