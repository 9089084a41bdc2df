"""The ways in and out for agency people and for invited ones, and the people of a workspace, on its host."""

from django.urls import path

from subaccounts.views import colleagues, entering, joining

urlpatterns = [
    path("hop/", entering.hop_arrive, name="hop_arrive"),
    path("assist/return/", entering.assist_return, name="assist_return"),
    path("invitation/", joining.invitation, name="invitation"),
    path("invitation/<str:token>/", joining.invitation_link, name="invitation_link"),
    path("join/", joining.join_arrive, name="join_arrive"),
    path("join/token/", joining.join_issue, name="join_issue"),
    path("people/", colleagues.colleague_list, name="colleague_list"),
    path("people/invite/", colleagues.colleague_invite, name="colleague_invite"),
    path("people/pending/<uuid:public_id>/link/", colleagues.colleague_resend, name="colleague_resend"),
    path("people/pending/<uuid:public_id>/revocation/", colleagues.colleague_revocation, name="colleague_revocation"),
    path("people/<uuid:public_id>/role/", colleagues.colleague_role, name="colleague_role"),
    path("people/<uuid:public_id>/removal/", colleagues.colleague_removal, name="colleague_removal"),
]
