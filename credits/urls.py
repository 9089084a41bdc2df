"""The agency's credit pages, on the platform's host."""

from django.urls import path

from credits.views import balances, grants, statement, usage

urlpatterns = [
    path("", balances.home, name="credits_home"),
    path("statement/", statement.lines, name="credits_statement"),
    path("statement.csv", statement.lines_csv, name="credits_statement_csv"),
    path("usage/", usage.usage, name="credits_usage"),
    path("grants/<slug:unit>/", grants.of_pool, name="credits_grants"),
    path("alerts/<slug:unit>/", balances.threshold, name="credits_threshold"),
]
