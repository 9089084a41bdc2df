"""The addresses of people and agencies. `entrance` stands on the platform's host and on every workspace's, `platform` on the former only.

allauth's views are mounted one by one, each behind a door; what is not listed here cannot be reached.
"""

from collections.abc import Callable
from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as passkeys
from django.urls import URLPattern, path

from agency.access import Can
from agency.doors import agency_door, person_door
from agency.views import agencies as agency_views
from agency.views import alert_settings as alert_settings_views
from agency.views import api_keys as api_key_views
from agency.views import audit as audit_views
from agency.views import deletion as deletion_views
from agency.views import entrance as entrance_views
from agency.views import notices as notice_views
from agency.views import own_sessions as own_session_views
from agency.views import ownership as ownership_views
from kit.doors import open_door

NOT_YET_KNOWN = "who comes and goes stands in the sign-in history; the record is written when a password or an address changes"
BY_SIGNAL = "the record is written by the change itself, which may wait for a code or a confirmation"


def opened(reason: str, view: Callable[..., Any]) -> Callable[..., Any]:
    return open_door(reason, unaudited=NOT_YET_KNOWN)(view)


def own(reason: str, view: Callable[..., Any], *, unaudited: str = BY_SIGNAL) -> Callable[..., Any]:
    """One's own security: for everyone who is signed in, but not for an agency user inside a client's workspace."""
    return person_door(reason, unaudited=unaudited)(entrance_views.not_while_assisting(view))


entrance: list[URLPattern] = [
    path("sign-in/", opened("signing in", entrance_views.sign_in), name="account_login"),
    path("sign-in/code/", opened("the second factor of a sign-in", mfa.authenticate), name="mfa_authenticate"),
    path("sign-in/passkey/", opened("signing in with a passkey", passkeys.login_webauthn), name="mfa_login_webauthn"),
    path("sign-out/", opened("signing out", entrance_views.sign_out), name="account_logout"),
    path(
        "confirm-email/", opened("the code that proves an address", account.email_verification_sent), name="account_email_verification_sent"
    ),
    path("password/reset/", opened("a forgotten password", account.password_reset), name="account_reset_password"),
    path(
        "password/reset/code/",
        opened("the code of a reset", account.confirm_password_reset_code),
        name="account_confirm_password_reset_code",
    ),
    path("password/reset/new/", opened("the end of a reset", account.complete_password_reset), name="account_complete_password_reset"),
    path(
        "password/reset/done/", opened("the end of a reset", account.password_reset_from_key_done), name="account_password_reset_completed"
    ),
    path(
        "password/strength/",
        open_door("says how strong a password would be, also of somebody who signs up", unaudited="it keeps nothing of what is typed")(
            entrance_views.password_strength
        ),
        name="password_strength",
    ),
    path("password/first/", own("one's own password", entrance_views.first_password), name="first_password"),
    path("security/", own("one's own security", entrance_views.own_security), name="mfa_index"),
    path("security/required/", own("what one's agency asks for", entrance_views.second_factor_required), name="second_factor_required"),
    path("security/confirm/", own("showing it is really you", entrance_views.confirm_with_password), name="account_reauthenticate"),
    path("security/confirm/code/", own("showing it is really you", entrance_views.confirm_with_code), name="mfa_reauthenticate"),
    path(
        "security/confirm/passkey/",
        own("showing it is really you", entrance_views.confirm_with_passkey),
        name="mfa_reauthenticate_webauthn",
    ),
    path("security/email/", own("one's own address", account.email), name="account_email"),
    path("security/password/", own("one's own password", account.password_change), name="account_change_password"),
    path("security/password/set/", own("one's own password", account.password_set), name="account_set_password"),
    path("security/app/", own("one's own authenticator app", totp.activate_totp), name="mfa_activate_totp"),
    path("security/app/remove/", own("one's own authenticator app", totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("security/recovery-codes/", own("one's own recovery codes", recovery_codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path(
        "security/recovery-codes/new/",
        own("one's own recovery codes", recovery_codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "security/recovery-codes/download/",
        own("one's own recovery codes", recovery_codes.download_recovery_codes),
        name="mfa_download_recovery_codes",
    ),
    path("security/passkeys/", own("one's own passkeys", passkeys.list_webauthn), name="mfa_list_webauthn"),
    path("security/passkeys/new/", own("one's own passkeys", passkeys.add_webauthn), name="mfa_add_webauthn"),
    path(
        "security/passkeys/<int:pk>/",
        own("one's own passkeys", passkeys.edit_webauthn, unaudited="what somebody calls a passkey is a note to themselves"),
        name="mfa_edit_webauthn",
    ),
    path("security/passkeys/<int:pk>/remove/", own("one's own passkeys", passkeys.remove_webauthn), name="mfa_remove_webauthn"),
    path("security/sessions/", own("one's own sessions", own_session_views.own_sessions), name="usersessions_list"),
    path("security/sessions/<slug:mark>/end/", own("one's own sessions", own_session_views.own_session_end), name="session_end"),
    path("security/sign-ins/", own("one's own sign-ins", own_session_views.sign_ins), name="sign_ins"),
]

platform: list[URLPattern] = [
    path("sign-up/", opened("signing up", account.signup), name="account_signup"),
    path(
        "find-workspace/",
        open_door("whoever forgot the address of their workspace", unaudited="sends a mail and changes nothing")(
            entrance_views.find_workspace
        ),
        name="find_workspace",
    ),
    path(
        "agency/new/",
        person_door("whoever signed up opens an agency", unaudited="opening writes its record; a second post opens nothing")(
            agency_views.new
        ),
        name="agency_new",
    ),
    path("agency/new/address/", person_door("suggests an address for a new agency")(agency_views.suggest), name="agency_new_address"),
    path("settings/", agency_door(Can.MANAGE_AGENCY)(agency_views.settings), name="agency_settings"),
    path("settings/security/", agency_door(Can.MANAGE_AGENCY, recent=True)(agency_views.agency_security), name="agency_security"),
    path("developers/", agency_door(Can.MANAGE_API)(api_key_views.keys), name="api_keys"),
    path("developers/keys/new/", agency_door(Can.MANAGE_API, recent=True)(api_key_views.new), name="api_key_new"),
    path("developers/keys/<uuid:public_id>/", agency_door(Can.MANAGE_API, recent=True)(api_key_views.made), name="api_key_made"),
    path(
        "developers/keys/<uuid:public_id>/revoke/",
        agency_door(Can.MANAGE_API, unaudited="revoking writes its record; revoked again changes nothing")(api_key_views.revoke),
        name="api_key_revoke",
    ),
    path("settings/alerts/", alert_settings_views.alert_settings, name="alert_settings"),
    path("agency/deletion/", deletion_views.agency_deletion, name="agency_deletion"),
    path("agency/deleted/", deletion_views.agency_deleted, name="agency_deleted"),
    path("agency/<uuid:public_id>/restoration/", deletion_views.agency_restoration, name="agency_restoration"),
    path("ownership/", ownership_views.owner, name="ownership"),
    path("ownership/withdrawal/", ownership_views.withdrawal, name="ownership_withdrawal"),
    path("ownership/offer/", ownership_views.offered, name="ownership_offer"),
    path("ownership/taking/", ownership_views.taking, name="ownership_taking"),
    path("ownership/declining/", ownership_views.declining, name="ownership_declining"),
    path("notices/", notice_views.notices, name="notices"),
    path("notices/read/", notice_views.notices_read, name="notices_read"),
    path("notices/<uuid:public_id>/read/", notice_views.notice_read, name="notice_read"),
    path("audit/", audit_views.log, name="audit_log"),
    path("audit.csv", audit_views.log_csv, name="audit_log_csv"),
    path("settings/audit/", audit_views.keeping, name="audit_keeping"),
    path("settings/roles/", agency_door(Can.SEE_AGENCY)(agency_views.roles), name="agency_roles"),
]
