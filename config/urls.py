"""The platform's own host: landing, sign-up, sign-in, and the agency's dashboard."""

from allauth.account import views as account_views
from django.conf import settings
from django.urls import include, path

from config.design import design
from kit.doors import open_door

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    path("", include("whitelabel.urls")),
    path("sign-in/", open_door("signing in", unaudited="sign-ins are recorded by the session list")(account_views.login), name="account_login"),
    path("sign-out/", open_door("signing out", unaudited="ends only the own session")(account_views.logout), name="account_logout"),
]

if settings.DEBUG or settings.TESTING:
    urlpatterns.append(path("dev/design/", design, name="design"))
