"""The platform's own host: landing, sign-up, sign-in, and the agency's dashboard."""

from django.conf import settings
from django.urls import include, path

from agency.urls import entrance
from agency.urls import platform as agency_pages
from billing.urls import platform as billing_pages
from config import api, api_documentation, mailbox
from config.design import design
from config.landing import landing

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    path("api/v1/", include((api.urlpatterns, "api"))),
    path("", landing, name="landing"),
    path("", include("whitelabel.urls")),
    path("", include("subaccounts.urls")),
    path("credits/", include("credits.urls")),
    *entrance,
    *agency_pages,
    *api_documentation.platform,
    *billing_pages,
]

if settings.DEBUG or settings.TESTING:
    urlpatterns += [path("dev/design/", design, name="design"), *mailbox.urlpatterns]
