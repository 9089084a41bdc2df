"""The agency's credit pages, on the platform's host."""

from django.urls import path

from credits.views import balances, grants, limits, monthly, moves, prices, statement, usage

urlpatterns = [
    path("", balances.home, name="credits_home"),
    path("statement/", statement.lines, name="credits_statement"),
    path("statement.csv", statement.lines_csv, name="credits_statement_csv"),
    path("move/", moves.move, name="credits_move"),
    path("prices/", prices.of_agency, name="credits_prices"),
    path("statements/", monthly.months, name="credits_months"),
    path("statements/<str:month>/", monthly.month, name="credits_month"),
    path("statements/<str:month>.csv", monthly.month_csv, name="credits_month_csv"),
    path("limits/", limits.limits, name="credits_limits"),
    path("limits.csv", limits.limits_csv, name="credits_limits_csv"),
    path("usage/", usage.trend, name="credits_usage"),
    path("usage.csv", usage.trend_csv, name="credits_usage_csv"),
    path("grants/<slug:unit>/", grants.of_pool, name="credits_grants"),
    path("alerts/<slug:unit>/", balances.threshold, name="credits_threshold"),
]
