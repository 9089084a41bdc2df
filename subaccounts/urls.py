"""The agency's pages about its sub-accounts, on the platform's host."""

from django.urls import path

from credits.views import grants, prices
from subaccounts.views import alerts, allocation, assists, credits, detail, entering, home, limit, list, opening, people, suspension

urlpatterns = [
    path("home/", home.agency_home, name="agency_home"),
    path("hop/", entering.hop_issue, name="hop_issue"),
    path("assists/", assists.assist_list, name="assist_list"),
    path("assists/<uuid:public_id>/", assists.assist_detail, name="assist_detail"),
    path("assists/<uuid:public_id>/end/", assists.assist_end, name="assist_end"),
    path("sub-accounts/", list.sub_account_list, name="sub_account_list"),
    path("sub-accounts.csv", list.sub_account_list_csv, name="sub_account_list_csv"),
    path("sub-accounts/new/", opening.sub_account_new, name="sub_account_new"),
    path("sub-accounts/new/web-address/", opening.sub_account_slug, name="sub_account_slug"),
    path("sub-accounts/<uuid:public_id>/", detail.sub_account, name="sub_account"),
    path("sub-accounts/<uuid:public_id>/opened/", opening.sub_account_opened, name="sub_account_opened"),
    path("sub-accounts/<uuid:public_id>/edit/", detail.sub_account_edit, name="sub_account_edit"),
    path("sub-accounts/<uuid:public_id>/allocation/", allocation.allocation, name="allocation"),
    path("sub-accounts/<uuid:public_id>/credits/", credits.client_credits, name="client_credits"),
    path("sub-accounts/<uuid:public_id>/grants/<slug:unit>/", grants.of_sub_account, name="sub_account_grants"),
    path("sub-accounts/<uuid:public_id>/prices/", prices.of_client, name="sub_account_prices"),
    path("sub-accounts/<uuid:public_id>/limit/", limit.sub_account_limit, name="sub_account_limit"),
    path("sub-accounts/<uuid:public_id>/alerts/", alerts.sub_account_alerts, name="sub_account_alerts"),
    path("sub-accounts/<uuid:public_id>/suspension/", suspension.suspension, name="suspension"),
    path("sub-accounts/<uuid:public_id>/restoration/", suspension.restoration, name="restoration"),
    path("sub-accounts/<uuid:public_id>/enter/", entering.sub_account_enter, name="sub_account_enter"),
    path("users/", people.user_list, name="user_list"),
    path("users.csv", people.user_list_csv, name="user_list_csv"),
]
