"""The addresses of billing: the agency's plan, and webhooks on the platform's host and on a workspace's."""

from collections.abc import Callable
from functools import partial

from django.urls import URLPattern, path

from agency.access import Can
from agency.doors import agency_door
from billing.views import plan as plan_views
from billing.views import webhooks as views
from kit.doors import View
from subaccounts.doors import workspace_door

_SWITCHED = "switching writes its record; an endpoint that is so already stays as it is"
_REPLAYED = "sending again writes its record; a day that is not kept sends nothing"

Guard = Callable[..., Callable[[View], View]]


def _webhooks(see: Guard, change: Guard) -> list[URLPattern]:
    """`see` guards what is only looked at, `change` what changes something or shows a secret."""
    return [
        path("webhooks/", see()(views.endpoints), name="webhook_list"),
        path("webhooks/new/", change(recent=True)(views.new), name="webhook_new"),
        path("webhooks/documentation/", see()(views.documentation), name="webhook_documentation"),
        path("webhooks/<uuid:public_id>/", see()(views.endpoint), name="webhook"),
        path("webhooks/<uuid:public_id>/edit/", change(recent=True)(views.edit), name="webhook_edit"),
        path("webhooks/<uuid:public_id>/secret/", change(recent=True)(views.secret), name="webhook_secret"),
        path("webhooks/<uuid:public_id>/rotation/", change(recent=True)(views.rotation), name="webhook_rotation"),
        path("webhooks/<uuid:public_id>/switch/", change(unaudited=_SWITCHED)(views.switch), name="webhook_switch"),
        path("webhooks/<uuid:public_id>/removal/", change()(views.removal), name="webhook_removal"),
        path("webhooks/<uuid:public_id>/test/", change()(views.test), name="webhook_test"),
        path("webhooks/<uuid:public_id>/replay/", change(unaudited=_REPLAYED)(views.replay_since), name="webhook_replay_since"),
        path("webhooks/<uuid:public_id>/deliveries/<uuid:delivery_id>/", see()(views.delivery), name="webhook_delivery"),
        path("webhooks/<uuid:public_id>/deliveries/<uuid:delivery_id>/outcome/", see()(views.test_outcome), name="webhook_test_outcome"),
        path("webhooks/<uuid:public_id>/deliveries/<uuid:delivery_id>/replay/", change()(views.replay), name="webhook_replay"),
    ]


_agency = partial(agency_door, Can.MANAGE_API)
_client = partial(workspace_door, Can.MANAGE_WORKSPACE)

platform: list[URLPattern] = [
    path(
        "billing/plan/",
        agency_door(Can.MANAGE_PLAN, unaudited="a change writes its record; choosing the plan one is on changes nothing")(plan_views.plan),
        name="plan",
    ),
    *_webhooks(_agency, _agency),
]
# What an agency user could leave behind to listen to after the assist is the client's alone to change.
workspace: list[URLPattern] = _webhooks(_client, partial(_client, assisting=False))
