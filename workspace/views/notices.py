"""A workspace's inbox of notices, and which alerts reach its people."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from agency import alerting
from agency.access import Can
from agency.forms import AlertChannelsForm
from agency.models import Category
from agency.models.notice import TELLS_BALANCE
from agency.notices import Reader
from agency.views.notices import READING, listed, read_every, read_one
from subaccounts import inbox
from subaccounts.doors import workspace_door
from subaccounts.models import SubAccount

_EMPTY = "Unusual use and whatever stops your assistant appear here at once, and by e-mail at most once a day."
_HELP = {
    Category.LOW_BALANCE: "Your balance falls below the number you set.",
    Category.SPIKE: "Far more was used today than on a usual day.",
    Category.FALLBACK_STARTED: "What you have of your own is used up.",
    Category.LIMIT_REACHED: "Your assistant may not answer for the rest of the month.",
    Category.STOPPED: "A visitor's question could not be answered.",
}


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def notices(request: HttpRequest) -> HttpResponse:
    sub_account = request.site.sub_account
    known = _words(sub_account)
    context = {
        "may_set": Can.MANAGE_WORKSPACE in request.capabilities,
        "empty_text": _EMPTY,
        "categories": [(code, name) for code, name in Category.choices if code in known],
    }
    return listed(request, inbox.of_client(sub_account), _reader(request), context)


@workspace_door(Can.SEE_WORKSPACE, unaudited=READING)
@require_POST
def notice_read(request: HttpRequest, public_id: UUID) -> HttpResponse:
    return read_one(request, inbox.of_client(request.site.sub_account), _reader(request), public_id)


@workspace_door(Can.SEE_WORKSPACE, unaudited=READING)
@require_POST
def notices_read(request: HttpRequest) -> HttpResponse:
    return read_every(request, inbox.of_client(request.site.sub_account), _reader(request))


@workspace_door(Can.MANAGE_WORKSPACE)
def alert_settings(request: HttpRequest) -> HttpResponse:
    sub_account = request.site.sub_account
    form = AlertChannelsForm(
        request.POST if request.method == "POST" else None,
        words=_words(sub_account),
        channels=alerting.channels_of(sub_account.agency, sub_account.public_id),
    )
    if form.is_valid():
        alerting.choose_channels(
            agency=sub_account.agency, sub_account_id=sub_account.public_id, channels=form.channels(), by=request.actor,
            subject=f"the people of {sub_account.name}",
        )  # fmt: skip
        messages.success(request, "Your alerts are saved.")
        return redirect("alert_settings")
    return render(request, "workspace/alert_settings.html", {"form": form, "sees_balance": sub_account.shows_balance})


def _words(sub_account: SubAccount) -> dict[str, str]:
    """The categories a client can hear of, each in words; nothing about balances where they are hidden (decision 6)."""
    return {category: text for category, text in _HELP.items() if sub_account.shows_balance or category not in TELLS_BALANCE}


def _reader(request: HttpRequest) -> Reader:
    sub_account = request.site.sub_account
    return Reader(request.user, sub_account.agency, sub_account.public_id)
