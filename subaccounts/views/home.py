"""The agency's home: how the clients do, what is left, what happened, what to do next."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from agency.models import Agency
from subaccounts import activity, overview, switching
from subaccounts.models import SubAccount


@agency_door(Can.SEE_AGENCY)
@require_safe
def agency_home(request: HttpRequest) -> HttpResponse:
    agency = request.agency
    sees_credits = Can.SEE_CREDITS in request.capabilities
    context = {
        "agency": agency,
        "key": overview.key_figures(agency, SubAccount.objects.of(agency).open_to(request.membership)),
        "sees_credits": sees_credits,
    }
    if sees_credits:
        context |= _credits(request)
    if Can.OPEN_SUB_ACCOUNTS in request.capabilities:
        steps = overview.steps(agency, request.user)
        context |= {"steps": steps, "steps_done": sum(step.is_done for step in steps), "limit_note": _limit_note(agency)}
    else:
        context["accounts"] = switching.accounts_for(request.user, request.membership)
    if Can.SEE_AUDIT in request.capabilities:
        context["events"] = activity.recent(agency, with_credits=sees_credits)
    return render(request, "agency/home.html", context)


def _limit_note(agency: Agency) -> str:
    return "" if agency.max_sub_accounts is None else f"of {agency.max_sub_accounts} in your plan"


def _credits(request: HttpRequest) -> dict[str, object]:
    pool = overview.pool(request.agency)
    return {"pool": pool, "is_low": pool is not None and pool.is_low, "chart": overview.used_by_client(request.agency)}
