"""Moving units between two accounts of the agency: choose, review what would happen, confirm exactly that."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache

from agency.access import Can
from agency.doors import agency_door
from credits.conversion import NothingArrives
from credits.ledger import InsufficientCredits, WalletFull
from kit.requests import words_of
from subaccounts import moving
from subaccounts.forms import MoveForm
from subaccounts.models import SubAccount

FEW = 12  # what one sees in a list at a glance
_SIDES = ("source", "to")
_TOO_OLD = "This review is no longer valid. Nothing was moved. Choose and review again."


@agency_door(Can.MOVE_CREDITS, unaudited="moving writes its records; the same review sent again moves nothing")
@never_cache
def move(request: HttpRequest) -> HttpResponse:
    """A GET chooses and, with `review`, shows what would happen; the POST of that review does it."""
    if request.method == "POST":
        return _confirmed(request)
    source, to = _account(request, request.GET.get("source", moving.POOL)), _account(request, request.GET.get("to", ""))
    form = _form(request, source, to, is_sent="review" in request.GET)
    if form.is_bound and form.is_valid() and source and to:
        plan = moving.planned(source, to, form.steps)
        if not plan.problems:
            return _review(request, plan)
        form.refuse(plan.problems)
    return _choose(request, form)


def _confirmed(request: HttpRequest) -> HttpResponse:
    reviewed = moving.read(request.POST.get("reviewed", ""))
    if reviewed is None:
        return _choose(request, _form(request, _account(request, moving.POOL), None), problem=_TOO_OLD, status=400)
    source, to = _account(request, reviewed.source), _account(request, reviewed.to)
    if source is None or to is None or reviewed.agency != str(request.agency.public_id):
        raise Http404
    try:
        plan = moving.move(source=source, to=to, reviewed=reviewed, by=request.actor)
    except (moving.FiguresChanged, InsufficientCredits, NothingArrives) as refusal:
        return _again(request, moving.planned(source, to, reviewed.amounts), refusal.message)
    except WalletFull as refusal:
        return _choose(request, _form(request, source, to), problem=refusal.message, status=409)
    messages.success(request, moving.in_words_of(plan))
    return redirect(f"{reverse('credits_move')}?{urlencode({'source': source.code, 'to': to.code})}")


def _again(request: HttpRequest, plan: moving.Plan, problem: str) -> HttpResponse:
    """The figures as they are by now, to be looked at anew; or why there are none."""
    if not plan.problems:
        return _review(request, plan, problem=problem, status=409)
    form = _form(request, plan.source, plan.to)
    return _choose(request, form, problem=" ".join(plan.problems.values()), status=409)


def _review(request: HttpRequest, plan: moving.Plan, *, problem: str = "", status: int = 200) -> HttpResponse:
    context = {"plan": plan, "signed": plan.signed(), "problem": problem, "currency": request.agency.currency, "back": _back(plan)}
    return render(request, "credits/move_review.html", context, status=status)


def _choose(request: HttpRequest, form: MoveForm, *, problem: str = "", status: int = 200) -> HttpResponse:
    is_searchable = form.offers > FEW or any(request.GET.get(f"find_{side}") for side in _SIDES)
    return render(request, "credits/move.html", {"form": form, "problem": problem, "is_searchable": is_searchable}, status=status)


def _back(plan: moving.Plan) -> str:
    """The form with what was typed."""
    amounts: dict[str, int] = {f"amount_{line.unit.code}": line.amount // line.unit.steps for line in plan.lines}
    return f"{reverse('credits_move')}?{urlencode([('source', plan.source.code), ('to', plan.to.code), *amounts.items()])}"


def _form(request: HttpRequest, source: moving.Account | None, to: moving.Account | None, *, is_sent: bool = False) -> MoveForm:
    chosen = dict(zip(_SIDES, (source, to), strict=True))
    sides = {side: _offered(request, request.GET.get(f"find_{side}", ""), account) for side, account in chosen.items()}
    initial: dict[str, Any] = {**request.GET.dict(), **{side: account.code for side, account in chosen.items() if account}}
    return MoveForm(
        {**initial} if is_sent else None, sides=sides, has=list(moving.balances_of(source).values()) if source else [], initial=initial
    )


def _offered(request: HttpRequest, search: str, chosen: moving.Account | None) -> list[tuple[str, str]]:
    open_to = SubAccount.objects.open_to(request.membership)
    found = moving.accounts(request.agency, open_to, words_of(search))
    named = {account.code: account.label for account in [*([chosen] if chosen else []), *found]}
    return list(named.items())


def _account(request: HttpRequest, code: str) -> moving.Account | None:
    """The account a form names; None when it names none, 404 when it is nobody's or another agency's."""
    if code in ("", moving.POOL):
        return moving.Account(request.agency) if code else None
    try:
        public_id = UUID(code)
    except ValueError as error:
        raise Http404 from error
    return moving.Account(request.agency, get_object_or_404(SubAccount.objects.open_to(request.membership), public_id=public_id))
