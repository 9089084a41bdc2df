"""Metered phone calls: seconds are reserved while a call lasts, and used to the second when it ends (decision 0101).

What a call reserves is held by one hold, and by one more each time it is extended. They all expire at the same moment, so a call
that nobody ends lets go of everything and is lost. Order of locks: the call, its holds, then as the ledger does.
"""

from datetime import timedelta
from uuid import UUID, uuid5

from django.db import transaction

from credits import ledger, rates
from credits.models import Hold
from kit import clock, durable, events
from kit.actor import Actor, system
from kit.refusal import Refusal
from subaccounts import figures, lifecycle
from subaccounts.models import Call, SubAccount

LONGEST_SECONDS = 4 * 3600
GRACE = timedelta(minutes=15)
BATCH = 1000
KINDS = {Call.BASIC: rates.CALL_BASIC, Call.PREMIUM: rates.CALL_PREMIUM}


class CallOver(Refusal):
    code = "call_over"
    status = 409
    default_message = "This call has ended, with another number of seconds or before it could be extended. Nothing was changed."


class CallLost(Refusal):
    code = "call_lost"
    status = 409
    default_message = "Nobody ended this call in time, so what it reserved was let go. Nothing was used."


class TooLong(Refusal):
    code = "call_too_long"
    status = 409
    default_message = "This is longer than the call may last. Nothing was changed."


def start(
    *,
    sub_account: SubAccount,
    tier: str,
    expected_seconds: int,
    maximum_seconds: int | None = None,
    contact: str = "",
    reference: str = "",
    is_own: bool = False,
    key: str,
    by: Actor,
) -> Call:
    """Reserve what `expected_seconds` cost and begin a call, which may be extended to `maximum_seconds`. `is_own` says that the client's own
    program began it.

    The same key again returns the call as it is by now; with other content it raises `ledger.KeyReused`. Raises
    `lifecycle.Suspended` and `ledger.InsufficientCredits`; then nothing is reserved.
    """
    maximum_seconds = expected_seconds if maximum_seconds is None else maximum_seconds
    if not 1 <= expected_seconds <= maximum_seconds <= LONGEST_SECONDS:
        raise ValueError(f"a call lasts between 1 and {LONGEST_SECONDS} seconds, and no longer than it may")
    kind, agency = KINDS[tier], sub_account.agency
    wanted = Call(
        public_id=uuid5(sub_account.public_id, key),
        sub_account=sub_account,
        tier=tier,
        contact=contact[:160],
        reference=reference[:160],
        is_own=is_own,
        expected_seconds=expected_seconds,
        maximum_seconds=maximum_seconds,
        reserved_seconds=expected_seconds,
    )
    with durable.early_release():
        if before := Call.objects.filter(public_id=wanted.public_id).first():
            return _same(before, wanted)
        lifecycle.may_act(sub_account)
        wanted.rate = rates.levels(agency.public_id, sub_account.public_id, kind.code)[kind.code].effective
        wanted.started_at = clock.now()
        wanted.expires_at = wanted.started_at + timedelta(seconds=maximum_seconds) + GRACE
        _hold(wanted, 1, _cost(wanted, expected_seconds), by)
        Call.objects.bulk_create([wanted], ignore_conflicts=True)  # the same key at once: the hold's key let one of them through first
        return _same(Call.objects.get(public_id=wanted.public_id), wanted)


def extend(*, call: Call, seconds: int, by: Actor) -> Call:
    """Reserve enough that the call may last `seconds` in all. Fewer than are reserved already change nothing.

    Raises `CallOver`, `CallLost`, `TooLong`, `lifecycle.Suspended` and `ledger.InsufficientCredits`; what was reserved stays so.
    """
    with durable.early_release():
        call = _locked(call)
        if call.state != Call.UNDER_WAY:
            raise CallOver if call.state == Call.ENDED else CallLost
        if seconds > call.maximum_seconds:
            raise TooLong(f"This call may last {call.maximum_seconds} seconds in all. Nothing was changed.")
        if seconds <= call.reserved_seconds:
            return call
        lifecycle.may_act(call.sub_account)
        _open_holds(call)
        if more := _cost(call, seconds) - _cost(call, call.reserved_seconds):
            call.holds += 1
            _hold(call, call.holds, more, by)
        call.reserved_seconds = seconds
        call.save(update_fields=["holds", "reserved_seconds"])
        return call


def end(*, call: Call, seconds: int, by: Actor) -> Call:
    """Use what `seconds` cost, at most what is reserved, and let go of the rest; 0 for a call that nobody answered.

    Also for a client that was suspended meanwhile: those seconds are used already. The same again answers the same; other
    seconds raise `CallOver`. Raises `CallLost` when its time was over before.
    """
    if seconds < 0:
        raise ValueError("a call does not last less than no time")
    with durable.early_release():
        call = _locked(call)
        if call.state == Call.ENDED and call.seconds == seconds:
            return call
        if call.state != Call.UNDER_WAY:
            raise CallOver if call.state == Call.ENDED else CallLost
        call.seconds, call.charged_seconds = seconds, min(seconds, call.reserved_seconds)
        call.amount = _cost(call, call.charged_seconds)
        ledger.commit_together(holds=_open_holds(call), amount=call.amount, by=by)
        call.state, call.ended_at = Call.ENDED, clock.now()
        call.save(update_fields=["seconds", "charged_seconds", "amount", "state", "ended_at"])
        _tell_ended(call)
        figures.add(call.sub_account, calls=1, seconds=seconds)
        return call


def sweep() -> int:
    """Mark the calls that nobody ended in time as lost, and let go of what they still reserve; how many."""
    due = Call.objects.under_way().filter(expires_at__lte=clock.now()).order_by("expires_at").values_list("pk", flat=True)
    return sum(_lose(pk) for pk in list(due[:BATCH]))


@transaction.atomic
def _lose(pk: int) -> bool:
    """False when another sweep has it, or somebody has just ended it after all."""
    waiting = Call.objects.under_way().filter(pk=pk).select_for_update(skip_locked=True, of=("self",))
    call = waiting.select_related("sub_account__agency").first()
    if call is None:
        return False
    ledger.commit_together(holds=[hold for hold in _holds(call) if hold.is_open], amount=0, by=system("calls"))
    call.state, call.ended_at = Call.LOST, clock.now()
    call.save(update_fields=["state", "ended_at"])
    _tell_ended(call)
    return True


def _tell_ended(call: Call) -> None:
    data = {
        "id": str(call.public_id),
        "tier": call.tier,
        "state": call.state,
        "contact": call.contact,
        "reference": call.reference,
        "seconds": call.seconds,
        "charged_seconds": call.charged_seconds,
    }
    sub_account = call.sub_account
    events.publish("call.ended", agency_id=sub_account.agency.public_id, sub_account_id=sub_account.public_id, data=data)


def _same(before: Call, wanted: Call) -> Call:
    asked = ("tier", "contact", "reference", "is_own", "expected_seconds", "maximum_seconds")
    if any(getattr(before, name) != getattr(wanted, name) for name in asked):
        raise ledger.KeyReused
    return before


def _locked(call: Call) -> Call:
    return Call.objects.select_for_update(of=("self",)).select_related("sub_account__agency").get(pk=call.pk)


def _cost(call: Call, seconds: int) -> int:
    return KINDS[call.tier].amount(seconds, call.rate)


def _hold(call: Call, number: int, amount: int, by: Actor) -> None:
    ledger.hold(
        sources=call.sub_account.credit_sources(KINDS[call.tier].unit),
        amount=amount,
        key=_key(call.public_id, number),
        expires_at=call.expires_at,
        by=by,
        kind="call",
        sub_account_id=call.sub_account.public_id,
        contact=call.contact,
        reference=call.reference or call.public_id.hex,
        memo=f"{call.get_tier_display()} call",
    )


def _key(public_id: UUID, number: int) -> str:
    return f"call:{public_id.hex}:{number}"


def _holds(call: Call) -> list[Hold]:
    """Locked, in the order in which they were made."""
    keys = [_key(call.public_id, number) for number in range(1, call.holds + 1)]
    return list(Hold.objects.select_for_update().filter(key__in=keys).order_by("pk"))


def _open_holds(call: Call) -> list[Hold]:
    """Raises `CallLost` where the ledger has let go of any of them: its time was over, and the sweep will say so."""
    holds = _holds(call)
    if not all(hold.is_open for hold in holds):
        raise CallLost
    return holds
