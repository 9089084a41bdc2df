"""The credit ledger: the only code that moves units.

Every deed is atomic and safe to repeat with the same key: a repeat returns the first result and changes nothing, the
same key with other content raises `KeyReused`. Amounts are in the unit's smallest step. A deed called inside a
transaction takes effect with it; called outside, a spend is a single statement and so a transaction of its own, whose
row locks no client round trip prolongs.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import F, Sum

from credits import posting
from credits.books import ISSUED, SOLD, book
from credits.conversion import convert, shares
from credits.models import Crossing, Entry, Grant, Hold, Key, LowBalance, PoolLimit, Threshold, Unit, Wallet
from credits.posting import Expired as Expired
from credits.posting import Moved as Moved
from credits.posting import Posted as Posted
from credits.posting import Use as Use
from credits.posting import entries_from as entries_from
from credits.refusals import CannotVoid as CannotVoid
from credits.refusals import HoldClosed as HoldClosed
from credits.refusals import InsufficientCredits as InsufficientCredits
from credits.refusals import KeyReused as KeyReused
from credits.refusals import PoolCannotCover as PoolCannotCover
from credits.refusals import PoolLimitReached as PoolLimitReached
from credits.refusals import UnitInUse as UnitInUse
from credits.refusals import WalletFull as WalletFull
from kit import clock
from kit.actor import Actor, system

log = structlog.get_logger("canopy.credits")

# What the product itself counts in: code names them.
UNITS_OF_THE_HOUSE = frozenset({"credit", "basic_minute", "premium_minute", "knowledge_pack"})
MOST_AT_ONCE = 1000
_NEVER_VOIDED = ("void", "expiry", "allocation", "reclaim", "transfer", "adjustment")
LEAST_REASON = 5


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
    wallets = Wallet.objects.select_for_update().filter(unit=unit).order_by("-owner_kind", "pk")
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
        posting.check_amount(amount, least=0)
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(uuid_hash_extended(%s, 0))", [wallet.pk])
    locked = Wallet.objects.select_for_update().get(pk=wallet.pk)
    posting.call("credits_limit(%s, %s)", [locked.pk, now])
    limit = PoolLimit.objects.filter(pk=locked.pk).first()
    if (amount, is_hard, time_zone) == (limit and limit.amount, limit and limit.is_hard, limit and limit.time_zone):
        return limit
    if amount is None:
        PoolLimit.objects.filter(pk=locked.pk).delete()
        posting.call("credits_rearm(%s, %s, %s)", [locked.pk, Crossing.LIMIT, now])
    elif limit is None:
        posting.call("credits_begin_limit(%s, %s, %s, %s, %s)", [locked.pk, amount, is_hard, time_zone, now])
    else:
        PoolLimit.objects.filter(pk=locked.pk).update(amount=amount, is_hard=is_hard)
        if limit.time_zone != time_zone:
            posting.call("credits_limit_zone(%s, %s, %s)", [locked.pk, time_zone, now])
    Wallet.objects.filter(pk=locked.pk).update(has_pool_limit=amount is not None)
    if amount is None:
        return None
    posting.call("credits_limit_count(%s, 0, %s)", [locked.pk, now])
    return PoolLimit.objects.get(pk=locked.pk)


@transaction.atomic
def set_time_zone(*, agency_id: UUID, time_zone: str, by: Actor) -> int:
    """Let the limits of an agency's clients follow another time zone; how many. The month they are in ends when it ends there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT public.credits_limit_zone(wallet_id, %s, %s) FROM (SELECT wallet_id FROM public.credits_poollimit AS l"
            " JOIN public.credits_wallet AS own ON own.id = l.wallet_id JOIN public.credits_unit AS unit ON unit.code = own.unit_id"
            " WHERE own.agency_id = %s AND l.time_zone <> %s ORDER BY unit.position, unit.code, wallet_id FOR UPDATE OF own) AS of_agency",
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
    posting.check_amount(amount, least=1)
    if to.owner_kind == Wallet.BOOK:
        raise ValueError("a boundary account is not granted anything")
    now = clock.now()
    first_id = posting.entry_id(now)
    if earlier := posting.claim(key, posting.digest("grant", to.pk, amount, source), first_id):
        return Grant.objects.get(pk__in=Entry.objects.filter(pk=earlier).values("grant_id"))
    wallet = posting.locked([to.pk])[to.pk]
    lot = Grant.objects.create(
        wallet=wallet,
        source=source,
        priority=posting.PRIORITIES.get(source, posting.PRIORITIES[Grant.PURCHASE]) if priority is None else priority,
        expires_at=expires_at,
        transferable=transferable,
        amount=amount,
        remaining=amount,
        created_at=now,
    )
    posting.move(wallet, amount, expires_at=expires_at, at=now)
    posting.write(
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
                sub_account_id=sub_account_id or posting.sub_account_of(wallet),
                reference=source,
                memo=memo[:200],
            )
        ],
        key=key,
        first_id=first_id,
        at=now,
        by=by,
    )
    posting.tell_granted(wallet, amount, source)
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
    return posting.draw(
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
    return posting.draw(
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
    sub_account_id = posting.client_of(sources, sub_account_id)
    for use in uses:
        posting.check_amount(use.amount, least=1)
    head, now = sources[0].pk, clock.now()
    contents = [
        posting.digest("spend", head, use.amount, kind, sub_account_id, use.contact, campaign, bot, False, use.reference) for use in uses
    ]
    values: list[Any] = [
        [source.pk for source in sources], [use.amount for use in uses], [use.key for use in uses], contents, [posting.entry_id(now) for _ in uses],
        [use.contact[:160] for use in uses], [use.reference[:160] for use in uses], now, kind, sub_account_id,
        campaign[:160], bot[:160], memo[:200], *posting.who(by),
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(posting.DRAW_MANY, values)
        rows = cursor.fetchall()
    return [posting.outcome_of(use, *row) for use, row in zip(uses, rows, strict=True)]


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
    posting.draw(
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
    outcome, first_id = posting.settle(hold, Hold.COMMITTED, amount, by, contact, campaign, bot, own_key, reference, memo)
    if first_id is None:
        raise HoldClosed
    is_replay = outcome != "done"
    return Posted(hold.key, sum(entry.amount for entry in entries_from(first_id)) if is_replay else amount, first_id, is_replay)


def release(*, hold: Hold, by: Actor) -> None:
    """Let go of what `hold` reserves. Nothing happens when that is so already; raises `HoldClosed` when it was committed."""
    outcome, _ = posting.settle(hold, Hold.RELEASED, 0, by)
    if outcome == Hold.COMMITTED:
        raise HoldClosed


@transaction.atomic
def commit_together(*, holds: Iterable[Hold], amount: int, by: Actor) -> None:
    """Use `amount` of what several holds of one unit reserve for one client, the first of them first, and let go of all the rest.

    Each posts under its own key. 0 lets go of everything. Raises `HoldClosed` unless every one of them is open; then nothing was changed.
    """
    found = posting.locked_holds(holds)
    if not all(hold.is_open for hold in found):
        raise HoldClosed
    if not 0 <= amount <= sum(hold.amount for hold in found):
        raise ValueError("commit no more than the holds reserve together")
    for hold in found:
        take = min(hold.amount, amount)
        amount -= take
        posting.settle(hold, Hold.COMMITTED if take else Hold.RELEASED, take, by)


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
    first_id = posting.entry_id(now)
    amount = sum(entry.amount for entry in entries)
    if earlier := posting.claim(key, posting.digest("void", entry_key), first_id):
        return Posted(key, amount, earlier, True)
    if original.voided_by or any(entry.kind in _NEVER_VOIDED for entry in entries):
        raise CannotVoid("This was voided before, or is no use and no grant. Nothing was changed.")
    wallets = posting.locked(
        {pk for entry in entries for pk in (entry.from_wallet_id, entry.to_wallet_id)} | posting.clients_of_pool(entries), at=now
    )
    posting.give_back(entries, wallets, now)
    posting.write([posting.mirrored(entry, wallets, now, memo) for entry in entries], key=key, first_id=first_id, at=now, by=by)
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
    return posting.move_whole("allocation", pool, wallet, amount, key, by, memo, sub_account_id or wallet.owner_id)


def reclaim(
    *, wallet: Wallet, pool: Wallet, amount: int, key: str, by: Actor, memo: str = "", sub_account_id: UUID | None = None
) -> Posted:
    """Take `amount` of a sub-account's own wallet back to its agency's pool, as `allocate` gave it.

    Of transferable grants only: raises `InsufficientCredits` when less than `amount` is transferable and free of holds, with
    that as `available`. Starter credits and other presents stay where they are.
    """
    return posting.move_whole("reclaim", wallet, pool, amount, key, by, memo, sub_account_id or wallet.owner_id)


@transaction.atomic
def transfer(*, source: Wallet, to: Wallet, pool: Wallet, amount: int, ratio: Fraction, key: str, by: Actor, memo: str = "") -> Moved:
    """Move `amount` of one unit between two accounts of an agency, worth the same at both: see `conversion.convert`.

    `ratio` is the price at the source ÷ the price at the destination. `pool` is the agency's, also where it is neither: it
    keeps count of what conversions left over and adds what they lack, so that none ever makes units. What leaves keeps its
    expiry, its priority and what binds it; of a client's wallet only what is transferable leaves. All or nothing: raises
    `InsufficientCredits`, `PoolCannotCover`, `WalletFull` or `conversion.NothingArrives`. What is the same on a repeat:
    source, destination and amount.
    """
    posting.check_amount(amount, least=1)
    posting.check_between(source, to, pool, ratio)
    now = clock.now()
    first_id = posting.entry_id(now)
    if earlier := posting.claim(key, posting.digest("transfer", source.pk, to.pk, amount), first_id):
        return posting.moved_earlier(key, earlier, source, to, pool)
    wallets = posting.locked({source.pk, to.pk, pool.pk})
    wallets |= {pk: posting.without_expired(wallets[pk], now) for pk in {source.pk, pool.pk}}
    source, to, pool = wallets[source.pk], wallets[to.pk], wallets[pool.pk]
    plan = convert(amount, ratio, converted=pool.converted, is_to_pool=to.pk == pool.pk)
    legs = posting.legs_of(source, plan.taken, now, only_transferable=source.pk != pool.pk)
    client = posting.sub_account_of(to) or posting.sub_account_of(source)
    if plan.carried == plan.taken and pool.pk in (source.pk, to.pk):
        entries = [
            posting.move_lot("transfer", UUID(int=first_id.int + leg), *lot, source, to, now, memo, client) for leg, lot in enumerate(legs)
        ]
    else:
        entries = posting.converted(plan, legs, source, to, now, memo, first_id)
        posting.count_converted(pool, plan, legs, shares([take for _, take in legs], plan.carried))
    for lot, take in posting.cover(pool, plan.from_pool, now):
        entries.append(posting.move_lot("transfer", UUID(int=first_id.int + len(entries)), lot, take, pool, to, now, memo, client))
    posting.write(entries, key=key, first_id=first_id, at=now, by=by)
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
    posting.check_amount(abs(amount), least=1)
    if wallet.owner_kind == Wallet.BOOK:
        raise ValueError("a boundary account is not adjusted")
    now = clock.now()
    first_id = posting.entry_id(now)
    if earlier := posting.claim(key, posting.digest("adjustment", wallet.pk, amount), first_id):
        return Posted(key, abs(amount), earlier, True)
    wallet = posting.without_expired(posting.locked([wallet.pk])[wallet.pk], now)
    entries = (
        [posting.added(wallet, amount, now)]
        if amount > 0
        else [posting.removed(wallet, *leg, now) for leg in posting.legs_of(wallet, -amount, now)]
    )
    for entry in entries:
        entry.memo = reason[:200]
    posting.write(entries, key=key, first_id=first_id, at=now, by=by)
    return Posted(key, abs(amount), first_id, False)


def reclaimable(wallets: Iterable[Wallet]) -> dict[UUID, int]:
    """How much of each wallet or pool is transferable and free of holds now, by its id: what `reclaim` would take."""
    wanted = {wallet.pk: 0 for wallet in wallets}
    rows = posting.drawable(list(wanted), clock.now()).filter(transferable=True).order_by().values("wallet_id")
    return wanted | {row["wallet_id"]: row["free"] for row in rows.annotate(free=Sum(F("remaining") - F("held")))}


# --- Time ---------------------------------------------------------------------------------------------------------------


def expire_due() -> Expired:
    """Let go of holds whose time is over and move expired grants to the `expired` book.

    Spending never depends on it: a spend expires what it finds due. Each hold and wallet is a transaction of its own.
    """
    now = clock.now()
    holds = Hold.objects.filter(state=Hold.OPEN, expires_at__lte=now).order_by("expires_at")
    closed = sum(posting.settle(hold, Hold.EXPIRED, 0, system("expiry"))[0] == "done" for hold in holds)
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
