"""The agency's credit pages, on the platform's host."""

from django.urls import path

from credits import views

urlpatterns = [
    path("", views.home, name="credits_home"),
    path("statement/", views.lines, name="credits_statement"),
    path("statement.csv", views.lines_csv, name="credits_statement_csv"),
    path("usage/", views.usage, name="credits_usage"),
    path("alerts/<slug:unit>/", views.threshold, name="credits_threshold"),
]
