"""The credit ledger: the only code that moves units.

Every deed is atomic and safe to repeat with the same key: a repeat returns the first result and changes nothing, the
same key with other content raises `KeyReused`. Amounts are in the unit's smallest step. A deed called inside a
transaction takes effect with it; called outside, a spend is a single statement and so a transaction of its own, whose
row locks no client round trip prolongs.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from hashlib import blake2b
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet, Sum

from credits.books import CONVERTED, ISSUED, SOLD, VOIDED, book
from credits.conversion import Conversion, convert, shares
from credits.models import LARGEST, Crossing, Entry, Grant, Hold, Key, LowBalance, PoolLimit, Threshold, Unit, Wallet
from kit import clock
from kit.actor import Actor, system
from kit.ids import uuid7
from kit.refusal import Refusal

log = structlog.get_logger("canopy.credits")

# What is spent first where a grant says nothing itself: gifts that lapse, then what came with a package, then money's worth.
PRIORITIES = {
    Grant.STARTER: 10,
    Grant.PROMOTION: 20,
    Grant.PLAN: 30,
    Grant.PACKAGE: 30,
    Grant.ALLOCATION: 40,
    Grant.TRANSFER: 50,
    Grant.PURCHASE: 60,
    Grant.ADJUSTMENT: 60,
}
# What the product itself counts in: code names them.
UNITS_OF_THE_HOUSE = frozenset({"credit", "basic_minute", "premium_minute", "knowledge_pack"})
MOST_AT_ONCE = 1000
_NEVER_VOIDED = ("void", "expiry", "allocation", "reclaim", "transfer", "adjustment")
LEAST_REASON = 5
_LAST_LEG = 0xFFFF


class InsufficientCredits(Refusal):
    """The sources together have less than was asked. Nothing was used. `needed` and `available` are in smallest steps."""

    code = "insufficient_credits"
    status = 402
    default_message = "There are not enough credits for this. Nothing was used. Add credits and try again."

    def __init__(self, *, needed: int, available: int) -> None:
        self.needed, self.available = needed, available
        super().__init__()


class PoolLimitReached(InsufficientCredits):
    """The client may use no more of the agency's pool this month. `available` is what it may still use, its own credits included."""

    code = "pool_limit_reached"
    default_message = "This month's limit on the agency's credits is reached. Nothing was used. It can be raised, or own credits be added."


class PoolCannotCover(InsufficientCredits):
    """Units are cheaper at the destination, and the agency's pool has not what is missing there."""

    default_message = (
        "Units cost less there, so more would arrive than leave, and the pool has not enough for the difference. Nothing was moved."
    )


class WalletFull(Refusal):
    code = "wallet_full"
    status = 409
    default_message = "This is more than a wallet can hold. Nothing was changed."


class KeyReused(Refusal):
    code = "key_reused"
    status = 409
    default_message = "This idempotency key was used before, for something else. Nothing was changed. Use a new key."


class HoldClosed(Refusal):
    code = "hold_closed"
    status = 409
    default_message = "These credits are no longer reserved. Nothing was changed. Start again."


class UnitInUse(Refusal):
    code = "unit_in_use"
    status = 409


class CannotVoid(Refusal):
    code = "cannot_void"
    status = 409
    default_message = "This cannot be voided. Nothing was changed."


@dataclass(frozen=True, slots=True)
class Posted:
    """What a spend, a commit or a void wrote: the entries of `key`. `is_replay` when an earlier call wrote them."""

    key: str
    amount: int
    first_id: UUID
    is_replay: bool

    @property
    def entries(self) -> list[Entry]:
        return entries_from(self.first_id)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a transfer did, in smallest steps: `taken` left the source, `received` arrived, `from_pool` of them out of the pool."""

    key: str
    taken: int
    received: int
    from_pool: int
    first_id: UUID
    is_replay: bool

    @property
    def entries(self) -> list[Entry]:
        return entries_from(self.first_id)


@dataclass(frozen=True, slots=True)
class Use:
    """One spend of many: what differs from the others."""

    key: str
    amount: int
    contact: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Expired:
    holds: int
    wallets: int


# --- Wallets ------------------------------------------------------------------------------------------------------------


@transaction.atomic
def open_wallets(owner_kind: str, owner_id: UUID, *, agency_id: UUID | None = None) -> list[Wallet]:
    """One wallet per unit for an owner; those that exist are left alone.

    `agency_id` is the agency on whose statement their lines stand; an agency's own pools stand on its own.
    """
    if owner_kind not in (Wallet.AGENCY, Wallet.SUB_ACCOUNT):
        raise ValueError(f"nobody of kind {owner_kind} owns wallets")
    if owner_kind == Wallet.AGENCY:
        agency_id = owner_id
    if agency_id is None:
        raise ValueError("a sub-account's wallets need the public id of its agency")
    Wallet.objects.bulk_create(
        [Wallet(owner_kind=owner_kind, owner_id=owner_id, agency_id=agency_id, unit=unit) for unit in Unit.objects.all()],
        ignore_conflicts=True,
    )
    return list(Wallet.objects.filter(owner_kind=owner_kind, owner_id=owner_id).order_by("unit__position"))


def open_missing_wallets() -> int:
    """A wallet of every unit for every owner there is, in one statement however many they are; how many were missing.

    For a unit that is added later. Whoever opens in that very moment may miss it, so a sweep looks again.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO public.credits_wallet (id, owner_kind, owner_id, agency_id, unit_id, balance, held, sequence)"
            " SELECT gen_random_uuid(), owner.kind, owner.id, owner.agency_id, unit.code, 0, 0, 0"
            " FROM (SELECT DISTINCT owner_kind AS kind, owner_id AS id, agency_id FROM public.credits_wallet"
            " WHERE owner_kind IN ('agency', 'sub_account')) AS owner CROSS JOIN public.credits_unit AS unit"
            " WHERE NOT EXISTS (SELECT FROM public.credits_wallet AS known"
            " WHERE known.owner_kind = owner.kind AND known.owner_id = owner.id AND known.unit_id = unit.code)"
            " ON CONFLICT DO NOTHING"
        )
        return cursor.rowcount


@transaction.atomic
def add_unit(unit: Unit, *, by: Actor) -> Unit:
    """A new unit, with its boundary accounts and a wallet for everybody who has wallets."""
    unit.save(force_insert=True)
    open_missing_wallets()
    log.info("unit added", unit=unit.code, by=by.label)
    return unit


@transaction.atomic
def remove_unit(unit: Unit, *, by: Actor) -> None:
    """Take a unit back that nobody has used, with its empty wallets and its prices. Raises `UnitInUse`; then nothing was removed."""
    if unit.code in UNITS_OF_THE_HOUSE:
        raise UnitInUse(f"{unit.name} is what Canopy itself counts in. It cannot be deleted.")
    wallets = Wallet.objects.select_for_update().filter(unit=unit).order_by("owner_kind", "pk")
    if any(wallet.sequence or wallet.held or wallet.low_at or wallet.has_pool_limit for wallet in wallets):
        raise UnitInUse(f"{unit.name} is in use: there are entries, thresholds or limits in it. Nothing was deleted.")
    if Entry.objects.filter(unit=unit).exists():
        raise UnitInUse(f"{unit.name} is in use: entries are forever. Nothing was deleted.")
    Wallet.objects.filter(unit=unit).delete()
    unit.delete()
    log.info("unit removed", unit=unit.code, by=by.label)


@transaction.atomic
def set_threshold(*, wallet: Wallet, low_at: int | None, by: Actor, audience: str = Threshold.AGENCY) -> Wallet:
    """Alert `audience` when the balance falls below `low_at`; None switches it off. A balance that is below already alerts once, now."""
    locked = Wallet.objects.select_for_update().get(pk=wallet.pk)
    thresholds = dict(Threshold.objects.filter(wallet=locked).values_list("audience", "at"))
    if thresholds.get(audience) == low_at:
        return locked
    now = clock.now()
    LowBalance.objects.filter(wallet=locked, audience=audience, rearmed_at=None).update(rearmed_at=now)
    if low_at is None:
        Threshold.objects.filter(wallet=locked, audience=audience).delete()
    else:
        Threshold.objects.update_or_create(wallet=locked, audience=audience, defaults={"at": low_at})
    others = [at for whose, at in thresholds.items() if whose != audience]
    locked.low_at = max([*others, *([] if low_at is None else [low_at])], default=None)
    locked.save(update_fields=["low_at"])
    if low_at is not None and locked.balance < low_at:
        LowBalance.objects.create(wallet=locked, audience=audience, threshold=low_at, balance=locked.balance, at=now)
    return locked


@transaction.atomic
def set_pool_limit(*, wallet: Wallet, amount: int | None, is_hard: bool, time_zone: str, by: Actor) -> PoolLimit | None:
    """How much of the pool a client may use in a calendar month of `time_zone`; None takes the limit away. `wallet` is its own.

    In the middle of a month it counts what the client has used of the pool since the month began, and what it reserves. Where
    that is the amount already, one alert is due now. The same again changes nothing.
    """
    if wallet.owner_kind != Wallet.SUB_ACCOUNT:
        raise ValueError("the limit of a client belongs to its own wallet")
    if amount is not None:
        _check_amount(amount, least=0)
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(uuid_hash_extended(%s, 0))", [wallet.pk])
    locked = Wallet.objects.select_for_update().get(pk=wallet.pk)
    _call("credits_limit(%s, %s)", [locked.pk, now])
    limit = PoolLimit.objects.filter(pk=locked.pk).first()
    if (amount, is_hard, time_zone) == (limit and limit.amount, limit and limit.is_hard, limit and limit.time_zone):
        return limit
    if amount is None:
        PoolLimit.objects.filter(pk=locked.pk).delete()
        _call("credits_rearm(%s, %s, %s)", [locked.pk, Crossing.LIMIT, now])
    elif limit is None:
        _call("credits_begin_limit(%s, %s, %s, %s, %s)", [locked.pk, amount, is_hard, time_zone, now])
    else:
        PoolLimit.objects.filter(pk=locked.pk).update(amount=amount, is_hard=is_hard)
        if limit.time_zone != time_zone:
            _call("credits_limit_zone(%s, %s, %s)", [locked.pk, time_zone, now])
    Wallet.objects.filter(pk=locked.pk).update(has_pool_limit=amount is not None)
    if amount is None:
        return None
    _call("credits_limit_count(%s, 0, %s)", [locked.pk, now])
    return PoolLimit.objects.get(pk=locked.pk)


@transaction.atomic
def set_time_zone(*, agency_id: UUID, time_zone: str, by: Actor) -> int:
    """Let the limits of an agency's clients follow another time zone; how many. The month they are in ends when it ends there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT public.credits_limit_zone(wallet_id, %s, %s) FROM (SELECT wallet_id FROM public.credits_poollimit AS l"
            " JOIN public.credits_wallet AS own ON own.id = l.wallet_id WHERE own.agency_id = %s AND l.time_zone <> %s"
            " ORDER BY wallet_id) AS of_agency",
            [time_zone, clock.now(), agency_id, time_zone],
        )
        return cursor.rowcount


# --- Units in -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def grant(
    *,
    to: Wallet,
    amount: int,
    source: str,
    key: str,
    by: Actor,
    expires_at: datetime | None = None,
    priority: int | None = None,
    transferable: bool = True,
    memo: str = "",
    sub_account_id: UUID | None = None,
) -> Grant:
    """Credit `amount` to a wallet or pool as one grant. What is the same on a repeat: wallet, amount and source."""
    _check_amount(amount, least=1)
    if to.owner_kind == Wallet.BOOK:
        raise ValueError("a boundary account is not granted anything")
    now = clock.now()
    first_id = _entry_id(now)
    if earlier := _claim(key, _content("grant", to.pk, amount, source), first_id):
        return Grant.objects.get(pk__in=Entry.objects.filter(pk=earlier).values("grant_id"))
    wallet = _locked([to.pk])[to.pk]
    lot = Grant.objects.create(
        wallet=wallet,
        source=source,
        priority=PRIORITIES.get(source, PRIORITIES[Grant.PURCHASE]) if priority is None else priority,
        expires_at=expires_at,
        transferable=transferable,
        amount=amount,
        remaining=amount,
        created_at=now,
    )
    _move(wallet, amount, expires_at=expires_at, at=now)
    _write(
        [
            Entry(
                kind="grant",
                unit_id=wallet.unit_id,
                amount=amount,
                from_wallet_id=book(SOLD if source == Grant.PURCHASE else ISSUED, wallet.unit_id),
                to_wallet=wallet,
                to_balance=wallet.balance,
                to_sequence=wallet.sequence,
                grant=lot,
                agency_id=wallet.agency_id,
                sub_account_id=sub_account_id or _sub_account_of(wallet),
                reference=source,
                memo=memo[:200],
            )
        ],
        key=key,
        first_id=first_id,
        at=now,
        by=by,
    )
    return lot


# --- Units out ----------------------------------------------------------------------------------------------------------


def spend(
    *,
    sources: Sequence[Wallet],
    amount: int,
    key: str,
    kind: str,
    by: Actor,
    memo: str = "",
    sub_account_id: UUID | None = None,
    contact: str = "",
    campaign: str = "",
    bot: str = "",
    own_key: bool = False,
    reference: str = "",
) -> Posted:
    """Use `amount` up, from the `sources` in order; inside one by priority, then soonest expiry, then oldest.

    All or nothing: raises `InsufficientCredits` when the sources together have less, `PoolLimitReached` when the client whose
    wallet is the first of them may not use that much of the pool this month. An amount of 0 is allowed with `own_key` only, to have
    the use on record. The use is that client's; what is the same on a repeat: everything but `by`, `memo` and the pool.
    """
    return _draw(
        sources, amount, key, None, by, kind=kind, memo=memo, sub_account_id=sub_account_id,
        contact=contact, campaign=campaign, bot=bot, own_key=own_key, reference=reference,
    )  # fmt: skip


def spend_alone(
    *,
    sources: Sequence[Wallet],
    amount: int,
    key: str,
    kind: str,
    by: Actor,
    memo: str = "",
    sub_account_id: UUID | None = None,
    contact: str = "",
    campaign: str = "",
    bot: str = "",
    own_key: bool = False,
    reference: str = "",
) -> Posted:
    """`spend` where it is a transaction of its own (an API call, a batch, a call minute): several times faster on a slow disk.

    The pool is free again before the disk has the commit; the answer waits for it, so what is acknowledged is never lost.
    Until then others may see a balance that a crash would undo. Refuses to run inside a transaction.
    """
    if connection.in_atomic_block:
        raise transaction.TransactionManagementError("spend_alone is a transaction of its own: use spend inside another")
    return _draw(
        sources, amount, key, None, by, kind=kind, memo=memo, sub_account_id=sub_account_id, is_alone=True,
        contact=contact, campaign=campaign, bot=bot, own_key=own_key, reference=reference,
    )  # fmt: skip


def spend_many(
    *,
    sources: Sequence[Wallet],
    uses: Sequence[Use],
    kind: str,
    by: Actor,
    memo: str = "",
    sub_account_id: UUID | None = None,
    campaign: str = "",
    bot: str = "",
) -> list[Posted | InsufficientCredits | KeyReused]:
    """Up to `MOST_AT_ONCE` spends for one client, with one update of the row that pays: for campaigns.

    Each stands for itself, in order: what comes back has, at the place of each use, what it posted or why it was refused.
    A repeat of the batch, or of one of them by `spend`, posts nothing again.
    """
    if not 0 < len(uses) <= MOST_AT_ONCE or len({use.key for use in uses}) < len(uses):
        raise ValueError(f"between 1 and {MOST_AT_ONCE} uses, each with a key of its own")
    sub_account_id = _client_of(sources, sub_account_id)
    for use in uses:
        _check_amount(use.amount, least=1)
    head, now = sources[0].pk, clock.now()
    contents = [_content("spend", head, use.amount, kind, sub_account_id, use.contact, campaign, bot, False, use.reference) for use in uses]
    values: list[Any] = [
        [source.pk for source in sources], [use.amount for use in uses], [use.key for use in uses], contents, [_entry_id(now) for _ in uses],
        [use.contact[:160] for use in uses], [use.reference[:160] for use in uses], now, kind, sub_account_id,
        campaign[:160], bot[:160], memo[:200], *_actor(by),
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_DRAW_MANY, values)
        rows = cursor.fetchall()
    return [_result(use, *row) for use, row in zip(uses, rows, strict=True)]


def hold(
    *,
    sources: Sequence[Wallet],
    amount: int,
    key: str,
    expires_at: datetime,
    by: Actor,
    kind: str,
    memo: str = "",
    sub_account_id: UUID | None = None,
    contact: str = "",
    campaign: str = "",
    bot: str = "",
    own_key: bool = False,
    reference: str = "",
) -> Hold:
    """Reserve `amount` from the `sources` for work in progress, as `spend` would draw it, until `expires_at`.

    A repeat returns the hold as it is by now, so look at its state. Raises `InsufficientCredits`. Outside a transaction it does not
    wait for the disk: a crash may forget a reservation, but not one that was committed, whose entry is written after it.
    """
    _draw(
        sources, amount, key, expires_at, by, kind=kind, memo=memo, sub_account_id=sub_account_id,
        contact=contact, campaign=campaign, bot=bot, own_key=own_key, reference=reference,
    )  # fmt: skip
    return Hold.objects.get(key=key)


def commit(
    *,
    hold: Hold,
    by: Actor,
    amount: int | None = None,
    contact: str = "",
    campaign: str = "",
    bot: str = "",
    own_key: bool | None = None,
    reference: str = "",
    memo: str = "",
) -> Posted:
    """Use what `hold` reserved, or `amount` of it, and let go of the rest; posted under the hold's key.

    Belongs in the transaction that stores what was paid for. What is given here replaces what the hold said. A hold whose
    time is over but which nobody has closed yet still commits: its units were reserved all along. Raises `HoldClosed`
    when it was released or has expired.
    """
    amount = hold.amount if amount is None else amount
    if not 0 <= amount <= hold.amount or (amount == 0 and hold.amount > 0):
        raise ValueError("commit between 1 and what the hold reserves, or release it")
    outcome, first_id = _settle(hold, Hold.COMMITTED, amount, by, contact, campaign, bot, own_key, reference, memo)
    if first_id is None:
        raise HoldClosed
    is_replay = outcome != "done"
    return Posted(hold.key, sum(entry.amount for entry in entries_from(first_id)) if is_replay else amount, first_id, is_replay)


def release(*, hold: Hold, by: Actor) -> None:
    """Let go of what `hold` reserves. Nothing happens when that is so already; raises `HoldClosed` when it was committed."""
    outcome, _ = _settle(hold, Hold.RELEASED, 0, by)
    if outcome == Hold.COMMITTED:
        raise HoldClosed


@transaction.atomic
def void(*, entry_key: str, key: str, by: Actor, memo: str = "") -> Posted:
    """Undo the spend, commit or grant posted under `entry_key`, by new entries that mirror it.

    A spend goes back to the very grants it came from (and expires from there if their time is over). A grant can be taken
    back only while it is whole. Raises `CannotVoid` otherwise, or when it was voided before under another key.
    """
    original = Key.objects.select_for_update().filter(key=entry_key).first()
    if original is None or original.entry_id is None:
        raise CannotVoid("There is nothing posted under this key. Nothing was changed.")
    entries = entries_from(original.entry_id)
    now = clock.now()
    first_id = _entry_id(now)
    amount = sum(entry.amount for entry in entries)
    if earlier := _claim(key, _content("void", entry_key), first_id):
        return Posted(key, amount, earlier, True)
    if original.voided_by or any(entry.kind in _NEVER_VOIDED for entry in entries):
        raise CannotVoid("This was voided before, or is no use and no grant. Nothing was changed.")
    wallets = _locked({pk for entry in entries for pk in (entry.from_wallet_id, entry.to_wallet_id)} | _clients_of_pool(entries), at=now)
    _give_back(entries, wallets, now)
    _write([_mirrored(entry, wallets, now, memo) for entry in entries], key=key, first_id=first_id, at=now, by=by)
    original.voided_by = key
    original.save(update_fields=["voided_by"])
    return Posted(key, amount, first_id, False)


# --- Between a pool and its wallets ---------------------------------------------------------------------------------------


def allocate(
    *, pool: Wallet, wallet: Wallet, amount: int, key: str, by: Actor, memo: str = "", sub_account_id: UUID | None = None
) -> Posted:
    """Give `amount` of an agency's pool to the own wallet of one of its sub-accounts.

    Drawn as a spend draws: by priority, then soonest expiry, then oldest. Each grant that is drawn on becomes one of source
    "allocation" there, with the same priority and expiry; what was not transferable is given, but stays so and never comes
    back. All or nothing: raises `InsufficientCredits` when less than `amount` is free of holds. What is the same on a repeat:
    pool, wallet and amount.
    """
    return _transfer("allocation", pool, wallet, amount, key, by, memo, sub_account_id or wallet.owner_id)


def reclaim(
    *, wallet: Wallet, pool: Wallet, amount: int, key: str, by: Actor, memo: str = "", sub_account_id: UUID | None = None
) -> Posted:
    """Take `amount` of a sub-account's own wallet back to its agency's pool, as `allocate` gave it.

    Of transferable grants only: raises `InsufficientCredits` when less than `amount` is transferable and free of holds, with
    that as `available`. Starter credits and other presents stay where they are.
    """
    return _transfer("reclaim", wallet, pool, amount, key, by, memo, sub_account_id or wallet.owner_id)


@transaction.atomic
def transfer(*, source: Wallet, to: Wallet, pool: Wallet, amount: int, ratio: Fraction, key: str, by: Actor, memo: str = "") -> Moved:
    """Move `amount` of one unit between two accounts of an agency, worth the same at both: see `conversion.convert`.

    `ratio` is the price at the source ÷ the price at the destination. `pool` is the agency's, also where it is neither: it
    keeps count of what conversions left over and adds what they lack, so that none ever makes units. What leaves keeps its
    expiry, its priority and what binds it; of a client's wallet only what is transferable leaves. All or nothing: raises
    `InsufficientCredits`, `PoolCannotCover`, `WalletFull` or `conversion.NothingArrives`. What is the same on a repeat:
    source, destination and amount.
    """
    _check_amount(amount, least=1)
    _check_between(source, to, pool, ratio)
    now = clock.now()
    first_id = _entry_id(now)
    if earlier := _claim(key, _content("transfer", source.pk, to.pk, amount), first_id):
        return _moved_earlier(key, earlier, source, to, pool)
    wallets = _locked({source.pk, to.pk, pool.pk})
    wallets |= {pk: _without_expired(wallets[pk], now) for pk in {source.pk, pool.pk}}
    source, to, pool = wallets[source.pk], wallets[to.pk], wallets[pool.pk]
    plan = convert(amount, ratio, converted=pool.converted, is_to_pool=to.pk == pool.pk)
    legs = _legs(source, plan.taken, now, only_transferable=source.pk != pool.pk)
    client = _sub_account_of(to) or _sub_account_of(source)
    if plan.carried == plan.taken and pool.pk in (source.pk, to.pk):
        entries = [_moved("transfer", UUID(int=first_id.int + leg), *lot, source, to, now, memo, client) for leg, lot in enumerate(legs)]
    else:
        entries = _converted(plan, legs, source, to, now, memo, first_id)
        _count_converted(pool, plan, legs, shares([take for _, take in legs], plan.carried))
    for lot, take in _cover(pool, plan.from_pool, now):
        entries.append(_moved("transfer", UUID(int=first_id.int + len(entries)), lot, take, pool, to, now, memo, client))
    _write(entries, key=key, first_id=first_id, at=now, by=by)
    return Moved(key, plan.taken, plan.received, plan.from_pool, first_id, False)


@transaction.atomic
def adjust(*, wallet: Wallet, amount: int, reason: str, key: str, by: Actor) -> Posted:
    """Correct a balance by `amount`, which is negative where units are to go: out of any grant, in the order of burn-down.

    `reason` is at least five characters and stands on the statement. Units come from the `issued` book and go to `voided`.
    Raises `InsufficientCredits` when less is free of holds than is to go. What is the same on a repeat: wallet and amount.
    """
    reason = reason.strip()
    if amount == 0 or len(reason) < LEAST_REASON:
        raise ValueError(f"an adjustment is not 0 and has a reason of {LEAST_REASON} characters or more")
    _check_amount(abs(amount), least=1)
    if wallet.owner_kind == Wallet.BOOK:
        raise ValueError("a boundary account is not adjusted")
    now = clock.now()
    first_id = _entry_id(now)
    if earlier := _claim(key, _content("adjustment", wallet.pk, amount), first_id):
        return Posted(key, abs(amount), earlier, True)
    wallet = _without_expired(_locked([wallet.pk])[wallet.pk], now)
    entries = [_added(wallet, amount, now)] if amount > 0 else [_removed(wallet, *leg, now) for leg in _legs(wallet, -amount, now)]
    for entry in entries:
        entry.memo = reason[:200]
    _write(entries, key=key, first_id=first_id, at=now, by=by)
    return Posted(key, abs(amount), first_id, False)


def reclaimable(wallets: Iterable[Wallet]) -> dict[UUID, int]:
    """How much of each wallet or pool is transferable and free of holds now, by its id: what `reclaim` would take."""
    wanted = {wallet.pk: 0 for wallet in wallets}
    rows = _drawable(list(wanted), clock.now()).filter(transferable=True).order_by().values("wallet_id")
    return wanted | {row["wallet_id"]: row["free"] for row in rows.annotate(free=Sum(F("remaining") - F("held")))}


# --- Time ---------------------------------------------------------------------------------------------------------------


def expire_due() -> Expired:
    """Let go of holds whose time is over and move expired grants to the `expired` book.

    Spending never depends on it: a spend expires what it finds due. Each hold and wallet is a transaction of its own.
    """
    now = clock.now()
    holds = Hold.objects.filter(state=Hold.OPEN, expires_at__lte=now).order_by("expires_at")
    closed = sum(_settle(hold, Hold.EXPIRED, 0, system("expiry"))[0] == "done" for hold in holds)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT wallet_id FROM public.credits_grant WHERE is_open AND expires_at <= %s AND remaining > held ORDER BY 1", [now]
        )
        wallets = [wallet_id for (wallet_id,) in cursor.fetchall()]
        for wallet_id in wallets:
            cursor.execute("SELECT public.credits_expire(%s, %s)", [wallet_id, now])
    return Expired(closed, len(wallets))


def open_months(ahead: int = 3) -> int:
    """Make the partitions of this month and the next ones; how many were missing. Until then entries lie in the default one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE public.credits_open_month((date_trunc('month', %s::timestamptz) + make_interval(months => m))::date))"
            " FROM generate_series(0, %s) AS m",
            [clock.now(), ahead],
        )
        return int(cursor.fetchone()[0])


def entries_from(first_id: UUID) -> list[Entry]:
    """The entries of one key, in order, by the id of the first."""
    return list(Entry.objects.filter(pk__gte=first_id, pk__lte=UUID(int=first_id.int | _LAST_LEG)).order_by("pk"))


def amounts_of(keys: Iterable[str]) -> dict[str, int]:
    """How much the entries of each key moved, in smallest steps, by key; keys that posted nothing are left out. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT posted.key, sum(entry.amount)::bigint FROM public.credits_key AS posted JOIN public.credits_entry AS entry"
            " ON entry.id BETWEEN posted.entry_id AND overlay(posted.entry_id::text PLACING 'ffff' FROM 33)::uuid"
            " WHERE posted.key = ANY(%s) GROUP BY 1",
            [list(keys)],
        )
        return dict(cursor.fetchall())


# --- How ----------------------------------------------------------------------------------------------------------------


_REFUSED = {"insufficient": InsufficientCredits, "limited": PoolLimitReached}
_DRAW = (
    "SELECT outcome, first_id, available FROM public.credits_draw("
    "%s::uuid[], %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
# Nothing is acknowledged by a hold, so the pool's row need not be kept until the disk has it.
_HOLD_ALONE = _DRAW.replace("FROM ", "FROM set_config('synchronous_commit', 'off', true), ", 1)
_SPEND_ALONE = (
    "CALL public.credits_spend_alone(%s::uuid[], %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, NULL, NULL, NULL)"
)


_DRAW_MANY = (
    "SELECT outcome, first_id, available FROM public.credits_draw_many("
    "%s::uuid[], %s::bigint[], %s::text[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    " ORDER BY place"
)


def _draw(
    sources: Sequence[Wallet], amount: int, key: str, until: datetime | None, by: Actor, *, kind: str, memo: str, sub_account_id: UUID | None,
    contact: str, campaign: str, bot: str, own_key: bool, reference: str, is_alone: bool = False,
) -> Posted:  # fmt: skip
    _check_amount(amount, least=0 if own_key else 1)
    sub_account_id = _client_of(sources, sub_account_id)
    content = _content(
        "spend" if until is None else "hold", sources[0].pk, amount, kind, sub_account_id, contact, campaign, bot, own_key, reference
    )
    now = clock.now()
    what: list[Any] = [[source.pk for source in sources], amount, key, content, first_id := _entry_id(now), now]
    about: list[Any] = [kind, sub_account_id, contact[:160], campaign[:160], bot[:160], own_key, reference[:160], memo[:200], *_actor(by)]
    with connection.cursor() as cursor:
        if is_alone:
            cursor.execute(_SPEND_ALONE, [*what, *about])
        else:
            soon = until is not None and not connection.in_atomic_block
            cursor.execute(_HOLD_ALONE if soon else _DRAW, [*what, until, *about])
        outcome, posted_id, available = cursor.fetchone()
    if outcome in _REFUSED:
        raise _REFUSED[outcome](needed=amount, available=available)
    if outcome == "reused":
        raise KeyReused
    return Posted(key, amount, posted_id or first_id, outcome == "replayed")


def _result(use: Use, outcome: str, first_id: UUID | None, available: int) -> Posted | InsufficientCredits | KeyReused:
    if outcome in _REFUSED:
        return _REFUSED[outcome](needed=use.amount, available=available)
    if outcome == "reused" or first_id is None:
        return KeyReused()
    return Posted(use.key, use.amount, first_id, outcome == "replayed")


def _settle(
    hold: Hold, state: str, amount: int, by: Actor, contact: str = "", campaign: str = "", bot: str = "",
    own_key: bool | None = None, reference: str = "", memo: str = "",
) -> tuple[str, UUID | None]:  # fmt: skip
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT outcome, first_id FROM public.credits_settle(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                hold.pk, state, amount, _entry_id(now), now, contact[:160], campaign[:160], bot[:160], own_key,
                reference[:160], memo[:200], *_actor(by),
            ],
        )  # fmt: skip
        outcome, first_id = cursor.fetchone()
    return outcome, first_id


@transaction.atomic
def _transfer(kind: str, source: Wallet, to: Wallet, amount: int, key: str, by: Actor, memo: str, sub_account_id: UUID) -> Posted:
    _check_amount(amount, least=1)
    _check_transfer(source, to)
    now = clock.now()
    first_id = _entry_id(now)
    if earlier := _claim(key, _content(kind, source.pk, to.pk, amount), first_id):
        return Posted(key, amount, earlier, True)
    wallets = _locked([source.pk, to.pk])
    source, to = _without_expired(wallets[source.pk], now), wallets[to.pk]
    legs = _legs(source, amount, now, only_transferable=kind == "reclaim")
    ids = [UUID(int=first_id.int + leg) for leg in range(len(legs))]
    entries = [_moved(kind, id, lot, take, source, to, now, memo, sub_account_id) for id, (lot, take) in zip(ids, legs, strict=True)]
    _write(entries, key=key, first_id=first_id, at=now, by=by)
    return Posted(key, amount, first_id, False)


def _legs(source: Wallet, amount: int, at: datetime, *, only_transferable: bool = False) -> list[tuple[Grant, int]]:
    """Which grants of a locked wallet give how much of `amount`, in the order of burn-down."""
    found = _drawable([source.pk], at)
    lots = list(found.filter(transferable=True) if only_transferable else found)
    legs, left = [], amount
    for lot in lots:
        if take := min(lot.remaining - lot.held, left):
            legs.append((lot, take))
            left -= take
    if left:
        raise InsufficientCredits(needed=amount, available=amount - left)
    return legs


def _drawable(wallet_ids: list[UUID], at: datetime) -> QuerySet[Grant]:
    """Open grants with something free, in the order of burn-down."""
    found = Grant.objects.filter(wallet_id__in=wallet_ids, is_open=True, remaining__gt=F("held"))
    return found.filter(Q(expires_at=None) | Q(expires_at__gt=at)).order_by("priority", F("expires_at").asc(nulls_last=True), "id")


def _moved(
    kind: str, id: UUID, lot: Grant, take: int, source: Wallet, to: Wallet, at: datetime, memo: str, sub_account_id: UUID | None
) -> Entry:
    """The entry that moves `take` of `lot` into a new grant of `to`; both wallets, which are locked, are changed accordingly.

    The grant has the id of its entry, so that among equals those that were first stay first.
    """
    _take(lot, take, source, at)
    landed = _land(id, lot, take, to, at, Grant.TRANSFER if kind == "transfer" else Grant.ALLOCATION)
    return Entry(
        kind=kind, unit_id=source.unit_id, amount=take, grant=lot, to_grant=landed,
        from_wallet=source, from_balance=source.balance, from_sequence=source.sequence,
        to_wallet=to, to_balance=to.balance, to_sequence=to.sequence,
        agency_id=source.agency_id, sub_account_id=sub_account_id, reference=lot.source, memo=memo[:200],
    )  # fmt: skip


def _converted(
    plan: Conversion, legs: list[tuple[Grant, int]], source: Wallet, to: Wallet, at: datetime, memo: str, first_id: UUID
) -> list[Entry]:
    """The entries that take `legs` of `source` into the `converted` book and bring what the plan carries out of it to `to`.

    Each side stands on the lines of its own client. The one that brings names both lots, as where units move directly.
    """
    book_id = book(CONVERTED, source.unit_id)
    giver, taker = _sub_account_of(source) or _sub_account_of(to), _sub_account_of(to) or _sub_account_of(source)
    entries: list[Entry] = []
    for (lot, take), share in zip(legs, shares([take for _, take in legs], plan.carried), strict=True):
        _take(lot, take, source, at)
        leaves = _half(lot, take, source, giver, memo)
        leaves.from_wallet_id, leaves.from_balance, leaves.from_sequence = source.pk, source.balance, source.sequence
        leaves.to_wallet_id = book_id
        entries.append(leaves)
        if share:
            arrives = _half(lot, share, source, taker, memo)
            arrives.to_grant = _land(UUID(int=first_id.int + len(entries)), lot, share, to, at, Grant.TRANSFER)
            arrives.to_wallet_id, arrives.to_balance, arrives.to_sequence = to.pk, to.balance, to.sequence
            arrives.from_wallet_id = book_id
            entries.append(arrives)
    return entries


def _half(lot: Grant, amount: int, source: Wallet, sub_account_id: UUID | None, memo: str) -> Entry:
    """An entry of a conversion, still without its two sides."""
    return Entry(
        kind="transfer", unit_id=source.unit_id, amount=amount, grant=lot, agency_id=source.agency_id, sub_account_id=sub_account_id,
        reference=lot.source, memo=memo[:200],
    )  # fmt: skip


def _count_converted(pool: Wallet, plan: Conversion, legs: list[tuple[Grant, int]], landed: list[int]) -> None:
    """Keep count, on the locked pool, of what conversions left over: of lots that nothing binds, or another would set the rest free."""
    left = sum(take - share for (lot, take), share in zip(legs, landed, strict=True) if take > share and not _is_bound(lot))
    if left != plan.from_converted:
        pool.converted += left - plan.from_converted
        pool.save(update_fields=["converted"])


def _is_bound(lot: Grant) -> bool:
    return lot.expires_at is not None or not lot.transferable


def _cover(pool: Wallet, missing: int, at: datetime) -> list[tuple[Grant, int]]:
    """Which grants of the pool make up for what a conversion lacks."""
    try:
        return _legs(pool, missing, at)
    except InsufficientCredits as refusal:
        raise PoolCannotCover(needed=missing, available=refusal.available) from refusal


def _moved_earlier(key: str, first_id: UUID, source: Wallet, to: Wallet, pool: Wallet) -> Moved:
    entries = entries_from(first_id)
    taken = sum(entry.amount for entry in entries if entry.from_wallet_id == source.pk)
    received = sum(entry.amount for entry in entries if entry.to_wallet_id == to.pk)
    added = sum(entry.amount for entry in entries if entry.from_wallet_id == pool.pk)
    return Moved(key, taken, received, 0 if source.pk == pool.pk else added, first_id, True)


def _added(wallet: Wallet, amount: int, at: datetime) -> Entry:
    """The entry that adjusts a locked wallet upwards, by a new grant."""
    lot = Grant.objects.create(
        wallet=wallet, source=Grant.ADJUSTMENT, priority=PRIORITIES[Grant.ADJUSTMENT], amount=amount, remaining=amount, created_at=at
    )
    _move(wallet, amount, expires_at=None, at=at)
    return Entry(
        kind="adjustment", unit_id=wallet.unit_id, amount=amount, from_wallet_id=book(ISSUED, wallet.unit_id), grant=lot,
        to_wallet=wallet, to_balance=wallet.balance, to_sequence=wallet.sequence,
        agency_id=wallet.agency_id, sub_account_id=_sub_account_of(wallet),
    )  # fmt: skip


def _removed(wallet: Wallet, lot: Grant, take: int, at: datetime) -> Entry:
    """The entry that adjusts a locked wallet downwards, out of one of its grants."""
    _take(lot, take, wallet, at)
    return Entry(
        kind="adjustment", unit_id=wallet.unit_id, amount=take, to_wallet_id=book(VOIDED, wallet.unit_id), grant=lot,
        from_wallet=wallet, from_balance=wallet.balance, from_sequence=wallet.sequence,
        agency_id=wallet.agency_id, sub_account_id=_sub_account_of(wallet),
    )  # fmt: skip


def _take(lot: Grant, amount: int, wallet: Wallet, at: datetime) -> None:
    lot.remaining -= amount
    lot.save(update_fields=["remaining"])
    _move(wallet, -amount, expires_at=None, at=at)


def _land(id: UUID, lot: Grant, amount: int, to: Wallet, at: datetime, source: str) -> Grant:
    """A grant of `to` that is what `lot` was, but for where it came from."""
    landed = Grant.objects.create(
        id=id, wallet=to, source=source, priority=lot.priority, expires_at=lot.expires_at, transferable=lot.transferable,
        amount=amount, remaining=amount, created_at=at,
    )  # fmt: skip
    _move(to, amount, expires_at=lot.expires_at, at=at)
    return landed


def _without_expired(wallet: Wallet, at: datetime) -> Wallet:
    """A locked wallet after what has expired in it is gone."""
    if wallet.next_expires_at is None or wallet.next_expires_at > at:
        return wallet
    with connection.cursor() as cursor:
        cursor.execute("SELECT public.credits_expire(%s, %s)", [wallet.pk, at])
    return Wallet.objects.get(pk=wallet.pk)


def _mirrored(entry: Entry, wallets: dict[UUID, Wallet], at: datetime, memo: str) -> Entry:
    """The entry that undoes `entry`, its wallet and grant changed accordingly."""
    comes_back = wallets[entry.from_wallet_id].owner_kind != Wallet.BOOK
    wallet = wallets[entry.from_wallet_id if comes_back else entry.to_wallet_id]
    if entry.grant_id:
        lot = Grant.objects.get(pk=entry.grant_id)
        if not comes_back and lot.remaining - lot.held != lot.amount:
            raise CannotVoid("Some of these credits were used or are reserved. Nothing was changed.")
        lot.remaining += entry.amount if comes_back else -entry.amount
        lot.save(update_fields=["remaining"])
        _move(wallet, entry.amount if comes_back else -entry.amount, expires_at=lot.expires_at, at=at)
    else:
        _move(wallet, 0, expires_at=None, at=at)
    ours = {"balance": wallet.balance, "sequence": wallet.sequence}
    mirrored = Entry(
        kind="void", unit_id=entry.unit_id, amount=entry.amount, grant_id=entry.grant_id, voids=entry.pk,
        agency_id=entry.agency_id, sub_account_id=entry.sub_account_id, contact=entry.contact, campaign=entry.campaign,
        bot=entry.bot, own_key=entry.own_key, reference=entry.reference, memo=memo[:200],
    )  # fmt: skip
    if comes_back:
        mirrored.from_wallet_id, mirrored.to_wallet_id = book(VOIDED, entry.unit_id), wallet.pk
        mirrored.to_balance, mirrored.to_sequence = ours["balance"], ours["sequence"]
    else:
        mirrored.from_wallet_id, mirrored.to_wallet_id = wallet.pk, book(VOIDED, entry.unit_id)
        mirrored.from_balance, mirrored.from_sequence = ours["balance"], ours["sequence"]
    return mirrored


def _locked(ids: Iterable[UUID], *, at: datetime | None = None) -> dict[UUID, Wallet]:
    """The wallets, locked in the order that holds everywhere: wallet before pool, then by id. Boundary accounts are not locked.

    With `at` the limits of the clients among them too, each right after its wallet.
    """
    found = {wallet.pk: wallet for wallet in Wallet.objects.filter(pk__in=list(ids))}
    for wallet in sorted(found.values(), key=_lock_order):
        if wallet.owner_kind != Wallet.BOOK:
            locked = found[wallet.pk] = Wallet.objects.select_for_update().get(pk=wallet.pk)
            if at and locked.has_pool_limit:
                _call("credits_limit(%s, %s)", [locked.pk, at])
    return found


def _clients_of_pool(entries: list[Entry]) -> set[UUID]:
    """The own wallets of the clients that some of `entries` used a pool for."""
    owners = {entry.sub_account_id for entry in entries if entry.from_sequence is not None and entry.sub_account_id}
    clients = Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id__in=owners, unit_id__in={entry.unit_id for entry in entries})
    return set(clients.values_list("pk", flat=True))


def _give_back(entries: list[Entry], wallets: dict[UUID, Wallet], at: datetime) -> None:
    """Count what is voided of a pool as not used, where it was used in the month that the client's limit is in."""
    limits = {wallet.owner_id: wallet.pk for wallet in wallets.values() if wallet.has_pool_limit}
    for entry in entries:
        limit = limits.get(entry.sub_account_id) if entry.sub_account_id else None
        if limit and wallets[entry.from_wallet_id].owner_kind == Wallet.AGENCY:
            began = PoolLimit.objects.values_list("month_began_at", flat=True).get(pk=limit)
            if entry.at >= began:
                _call("credits_limit_count(%s, %s, %s)", [limit, -entry.amount, at])


def _call(function: str, values: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT public.{function}", values)


def _lock_order(wallet: Wallet) -> tuple[bool, UUID]:
    return wallet.owner_kind == Wallet.AGENCY, wallet.pk


def _move(wallet: Wallet, amount: int, *, expires_at: datetime | None, at: datetime) -> None:
    """Change a locked wallet by one entry of `amount` (negative: out of it), with the alert that may go with it."""
    before = wallet.balance
    if before + amount > LARGEST:
        raise WalletFull
    wallet.balance += amount
    wallet.sequence += 1
    wallet.next_expires_at = min(filter(None, (wallet.next_expires_at, expires_at)), default=None)
    wallet.save(update_fields=["balance", "sequence", "next_expires_at"])
    if wallet.low_at is not None:
        _call("credits_cross(%s, %s, %s, %s, %s)", [wallet.pk, wallet.low_at, before, wallet.balance, at])
    if amount > 0 and wallet.on_pool_since is not None:
        wallet.on_pool_since = None
        _call("credits_off_pool(%s, %s)", [wallet.pk, at])


def _write(entries: list[Entry], *, key: str, first_id: UUID, at: datetime, by: Actor) -> None:
    for leg, entry in enumerate(entries):
        entry.id = UUID(int=first_id.int + leg)
        entry.key, entry.at = key, at
        entry.by_kind, entry.by_id, entry.by_label, entry.on_behalf_of = _actor(by)
    Entry.objects.bulk_create(entries)


def _claim(key: str, content: UUID, entry_id: UUID) -> UUID | None:
    """Claim `key` for `content`: None when it was free, the first entry of then when this is a repeat; `KeyReused` otherwise."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO public.credits_key (key, content, entry_id, voided_by) VALUES (%s, %s, %s, '') ON CONFLICT DO NOTHING",
            [key, content, entry_id],
        )
        if cursor.rowcount:
            return None
    earlier = Key.objects.get(key=key)
    if earlier.content != content or earlier.entry_id is None:
        raise KeyReused
    return earlier.entry_id


def _check_amount(amount: int, *, least: int) -> None:
    if not least <= amount <= LARGEST:
        raise ValueError(f"an amount of {amount} is not between {least} and {LARGEST}")


def _check_transfer(source: Wallet, to: Wallet) -> None:
    if {source.owner_kind, to.owner_kind} != {Wallet.AGENCY, Wallet.SUB_ACCOUNT}:
        raise ValueError("units move between an agency's pool and a sub-account's wallet")
    if source.unit_id != to.unit_id or source.agency_id != to.agency_id:
        raise ValueError("pool and wallet are of one unit and one agency")


def _check_between(source: Wallet, to: Wallet, pool: Wallet, ratio: Fraction) -> None:
    if source.pk == to.pk or Wallet.BOOK in (source.owner_kind, to.owner_kind) or pool.owner_kind != Wallet.AGENCY:
        raise ValueError("units move between two accounts of an agency")
    if len({(wallet.unit_id, wallet.agency_id) for wallet in (source, to, pool)}) > 1:
        raise ValueError("both accounts and the pool are of one unit and one agency")
    if ratio <= 0 or (source.pk == pool.pk and ratio > 1) or (to.pk == pool.pk and ratio < 1):
        raise ValueError("no price is below the pool's")


def _client_of(sources: Sequence[Wallet], sub_account_id: UUID | None) -> UUID | None:
    """Whose use a draw on `sources` is: the owner of the wallet that comes first, before its agency's pool. No pool pays for a client
    past that client's wallet, which knows whether there is a limit.
    """
    if not sources or len({source.unit_id for source in sources}) > 1:
        raise ValueError("a spend needs sources of one unit")
    order = [_lock_order(source) for source in sources]
    if any(source.owner_kind == Wallet.BOOK for source in sources) or any(a >= b for a, b in itertools.pairwise(order)):
        raise ValueError("sources are wallets before pools, each once, in the order in which they are locked")
    if any(source.owner_kind == Wallet.SUB_ACCOUNT for source in sources[1:]):
        raise ValueError("one client's wallet pays, never another's")
    client = _sub_account_of(sources[0])
    if sub_account_id not in (None, client):
        raise ValueError("a use is that of the client whose wallet comes first")
    return client


def _content(*what: object) -> UUID:
    """A digest of what a deed was asked to do, to tell a repeat from another use of its key."""
    return UUID(bytes=blake2b("\x1f".join(map(str, what)).encode(), digest_size=16).digest())


def _entry_id(at: datetime) -> UUID:
    """A fresh id of the entry's own moment, whose last two bytes are free for the legs of one key."""
    return UUID(int=uuid7(at.timestamp()).int & ~_LAST_LEG)


def _sub_account_of(wallet: Wallet) -> UUID | None:
    return wallet.owner_id if wallet.owner_kind == Wallet.SUB_ACCOUNT else None


def _actor(by: Actor) -> tuple[str, str, str, str]:
    return by.kind, by.id[:64], by.label[:160], by.on_behalf_of[:160]
