"""The addresses of billing on the platform's host."""

from django.urls import URLPattern, path

from agency.access import Can
from agency.doors import agency_door
from billing.views import plan as plan_views

platform: list[URLPattern] = [
    path(
        "billing/plan/",
        agency_door(Can.MANAGE_PLAN, unaudited="a change writes its record; choosing the plan one is on changes nothing")(plan_views.plan),
        name="plan",
    ),
]
