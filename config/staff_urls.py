"""The staff's own host: their sign-in, and Django's admin for what the operator runs. Nothing else is here, and this is nowhere else."""

from django.urls import include, path

from agency.admin import staff
from agency.urls import entrance
from credits import admin as _books  # noqa: F401  (registers what staff see)
from subaccounts import admin as _log  # noqa: F401

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    path("", include("whitelabel.urls")),
    *entrance,
    path("", staff.urls),
]
