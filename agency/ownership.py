"""Handing an agency over: its Owner offers, a colleague takes it, and both have shown lately that it is them."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from agency import audit
from agency.access import Role
from agency.models import Agency, Membership, OwnershipOffer, User
from kit import clock, mail
from kit.actor import Actor, system
from kit.refusal import Refusal

VALID_FOR = timedelta(days=7)
SWEEPER = system("Offers that ran out")


class NotTheOwner(Refusal):
    code = "not_the_owner"
    status = 403
    default_message = "Only the Owner gives the agency away. Nothing was changed."


class NoColleague(Refusal):
    """Only somebody of the team can be offered the agency, and not the Owner."""

    code = "no_colleague"
    default_message = "Choose somebody of your team. Nothing was offered."


class OfferOpen(Refusal):
    code = "offer_open"
    status = 409
    default_message = "You have offered your agency already. Withdraw that offer first; nothing was offered."


class NoOffer(Refusal):
    """It was settled, ran out, or was made to somebody else."""

    code = "no_offer"
    status = 404
    default_message = "There is no such offer any more. Nothing was changed."


def open_offer(agency: Agency) -> OwnershipOffer | None:
    """The offer that can be taken now, or None."""
    offers = OwnershipOffer.objects.filter(agency=agency, settled_at=None, expires_at__gt=clock.now())
    return offers.select_related("offered_to", "offered_by").first()


@transaction.atomic
def offer(*, agency: Agency, to: User, owner: User, by: Actor) -> OwnershipOffer:
    """Offer `agency` to a colleague for seven days. Raises `NotTheOwner`, `NoColleague` and `OfferOpen`."""
    team = _locked_team(agency)
    if team.get(owner.pk) is None or team[owner.pk].role != Role.OWNER:
        raise NotTheOwner
    if to.pk not in team or to == owner:
        raise NoColleague
    _expire(agency)
    if OwnershipOffer.objects.filter(agency=agency, settled_at=None).exists():
        raise OfferOpen
    now = clock.now()
    made = OwnershipOffer.objects.create(agency=agency, offered_by=owner, offered_to=to, offered_at=now, expires_at=now + VALID_FOR)
    _record("ownership.offered", made, by)
    _tell("offered", made, to)
    return made


@transaction.atomic
def take(*, agency: Agency, user: User, by: Actor) -> None:
    """`user` becomes the Owner and the former one an Admin, in one step. Raises `NoOffer`."""
    team = _locked_team(agency)
    offered = _locked_offer(agency, to=user)
    former, new = team.get(offered.offered_by_id), team.get(user.pk)
    if former is None or new is None or former.role != Role.OWNER:
        raise NoOffer
    Membership.objects.filter(pk=former.pk).update(role=Role.ADMIN)
    Membership.objects.filter(pk=new.pk).update(role=Role.OWNER)
    _settle(offered, was_taken=True)
    audit.record(
        "ownership.transferred",
        by=by,
        agency=agency,
        subject=agency.name,
        before={"owner": offered.offered_by.email, "role": new.role},
        after={"owner": user.email},
    )
    for person in (offered.offered_by, user):
        _tell("taken", offered, person)


@transaction.atomic
def decline(*, agency: Agency, user: User, by: Actor) -> None:
    """The colleague does not want it; the Owner is told. Raises `NoOffer`."""
    offered = _locked_offer(agency, to=user)
    _settle(offered)
    _record("ownership.declined", offered, by)
    _tell("declined", offered, offered.offered_by)


@transaction.atomic
def withdraw(*, agency: Agency, by: Actor) -> None:
    """The Owner takes the offer back; the colleague is told. Raises `NoOffer`."""
    offered = _locked_offer(agency)
    _settle(offered)
    _record("ownership.withdrawn", offered, by)
    _tell("withdrawn", offered, offered.offered_to)


def settle_for(*, agency: Agency, user: User, by: Actor) -> None:
    """What was offered to somebody who leaves is offered no longer. Part of their removal."""
    for offered in OwnershipOffer.objects.select_for_update(of=("self",)).filter(agency=agency, offered_to=user, settled_at=None):
        _settle(offered)
        _record("ownership.withdrawn", offered, by)


@transaction.atomic
def sweep() -> int:
    """Settle the offers whose seven days are over, on the record; how many. May run late, twice and at once."""
    return _expire()


def _expire(agency: Agency | None = None) -> int:
    due = OwnershipOffer.objects.select_for_update(skip_locked=agency is None, of=("self",)).filter(
        settled_at=None, expires_at__lte=clock.now()
    )
    expired = list(due.filter(agency=agency) if agency else due)
    for offered in expired:
        _settle(offered)
        _record("ownership.expired", offered, SWEEPER)
        for person in (offered.offered_by, offered.offered_to):
            _tell("expired", offered, person)
    return len(expired)


def _locked_team(agency: Agency) -> dict[int, Membership]:
    """Every place of the team, locked in one order: whoever removes or promotes somebody meanwhile waits or is waited for."""
    locked = Membership.objects.select_for_update().filter(agency=agency).order_by("pk")
    return {membership.user_id: membership for membership in locked}


def _locked_offer(agency: Agency, *, to: User | None = None) -> OwnershipOffer:
    offers = OwnershipOffer.objects.select_for_update(of=("self",)).select_related("agency", "offered_by", "offered_to")
    offered = offers.filter(agency=agency, settled_at=None, expires_at__gt=clock.now()).first()
    if offered is None or (to is not None and offered.offered_to_id != to.pk):
        raise NoOffer
    return offered


def _settle(offered: OwnershipOffer, *, was_taken: bool = False) -> None:
    offered.settled_at = clock.now()
    offered.was_taken = was_taken
    offered.save(update_fields=["settled_at", "was_taken"])


def _record(action: str, offered: OwnershipOffer, by: Actor) -> None:
    facts: dict[str, Any] = {"to": offered.offered_to.email, "until": offered.expires_at.isoformat()}
    audit.record(action, by=by, agency=offered.agency, subject=offered.agency.name, after=facts)


def _tell(what: str, offered: OwnershipOffer, person: User) -> None:
    context = {
        "person": person,
        "offer": offered,
        "agency": offered.agency,
        "url": f"{settings.SCHEME}://{settings.BASE_DOMAIN}/ownership/{'offer/' if what == 'offered' else ''}",
        "platform": settings.PLATFORM_NAME,
    }
    mail.send(to=person.email, template=f"mails/ownership_{what}", context=context)
