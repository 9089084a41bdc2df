"""Add account: the form, and the page that shows the first password once."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.doors import agency_door
from kit import sealed
from subaccounts import addresses, opening
from subaccounts.forms import AddAccountForm
from subaccounts.models import Access, SubAccount
from subaccounts.opening import Opened

SHOWN_WITHIN_SECONDS = 600
_FIELD_OF = {opening.EmailKnown: "email", addresses.BadSlug: "slug", addresses.SlugTaken: "slug"}


@agency_door(Can.OPEN_SUB_ACCOUNTS, unaudited="opening writes its record; the same form sent again opens nothing")
def sub_account_new(request: HttpRequest) -> HttpResponse:
    form = AddAccountForm(request.POST or None)
    slots = opening.slots_left(request.agency)
    if request.method == "POST" and form.is_valid():
        opened = _open(request, form)
        if opened is not None:
            return redirect("sub_account_opened", public_id=opened.sub_account.public_id)
    context = {"form": form, "slots": slots, "limit": request.agency.max_sub_accounts}
    template = "subaccounts/limit.html" if slots == 0 else "subaccounts/new.html"
    return render(request, template, context, status=409 if slots == 0 and request.method == "POST" else 200)


@agency_door(Can.OPEN_SUB_ACCOUNTS)
@require_safe
def sub_account_slug(request: HttpRequest) -> HttpResponse:
    """The field for the web address: what was typed there, else a suggestion made of the business name."""
    typed = request.GET.get("slug", "")[: addresses.SLUG_LENGTH]
    suggestion = typed or addresses.suggest_slug(request.GET.get("business_name", "").replace("\x00", "")[:120])
    return render(request, "subaccounts/_slug.html", {"form": AddAccountForm(initial={"slug": suggestion})})


@agency_door(Can.OPEN_SUB_ACCOUNTS)
@require_safe
@never_cache
def sub_account_opened(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """What was opened. The password waits sealed in the session and is gone with the first look."""
    sub_account = get_object_or_404(SubAccount.objects.ready(), agency=request.agency, public_id=public_id)
    waiting = request.session.pop(_waiting(sub_account), "")
    password = sealed.unseal(waiting, purpose="first password", max_age=SHOWN_WITHIN_SECONDS) if waiting else None
    access = Access.objects.filter(sub_account=sub_account).select_related("user").order_by("id").first()
    context = {
        "sub_account": sub_account,
        "user": request.user,
        "login": access.user if access else None,
        "password": password,
        "address": addresses.own_url(sub_account),
        "days": opening.FIRST_PASSWORD_DAYS,
    }
    return render(request, "subaccounts/opened.html", context)


def _open(request: HttpRequest, form: AddAccountForm) -> Opened | None:
    """The opened sub-account, or None when a rule said no: the form says which."""
    wanted = form.cleaned_data
    slug = wanted["slug"] or addresses.suggest_slug(wanted["business_name"] or f"{wanted['first_name']} {wanted['last_name']}")
    if not slug:
        form.add_error("slug", "No web address can be made of this name. Enter one, for instance acme-plumbing.")
        return None
    try:
        opened = opening.open_sub_account(agency=request.agency, by=request.actor, **{**wanted, "slug": slug})
    except tuple(_FIELD_OF) as refusal:
        form.add_error(_FIELD_OF[type(refusal)], refusal.message)
        return None
    except opening.SubAccountLimitReached as refusal:
        form.add_error(None, refusal.message)
        return None
    if opened.password:
        request.session[_waiting(opened.sub_account)] = sealed.seal(opened.password, purpose="first password")
    return opened


def _waiting(sub_account: SubAccount) -> str:
    return f"opened:{sub_account.public_id}"
