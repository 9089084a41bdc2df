"""How the ledger's deeds lock, draw and write. Only `credits.ledger` calls this."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from credits.books import CONVERTED, ISSUED, VOIDED, book
from credits.conversion import Conversion, shares
from credits.models import LARGEST, Entry, Grant, Hold, Key, PoolLimit, Wallet
from credits.refusals import (
    CannotVoid,
    InsufficientCredits,
    KeyReused,
    PoolCannotCover,
    PoolLimitReached,
    WalletFull,
)
from kit import clock, events
from kit.actor import Actor
from kit.ids import uuid7

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
_LAST_LEG = 0xFFFF


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


def entries_from(first_id: UUID) -> list[Entry]:
    """The entries of one key, in order, by the id of the first."""
    return list(Entry.objects.filter(pk__gte=first_id, pk__lte=UUID(int=first_id.int | _LAST_LEG)).order_by("pk"))


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


DRAW_MANY = (
    "SELECT outcome, first_id, available FROM public.credits_draw_many("
    "%s::uuid[], %s::bigint[], %s::text[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
    " ORDER BY place"
)


def draw(
    sources: Sequence[Wallet], amount: int, key: str, until: datetime | None, by: Actor, *, kind: str, memo: str, sub_account_id: UUID | None,
    contact: str, campaign: str, bot: str, own_key: bool, reference: str, is_alone: bool = False,
) -> Posted:  # fmt: skip
    check_amount(amount, least=0 if own_key else 1)
    sub_account_id = client_of(sources, sub_account_id)
    content = digest(
        "spend" if until is None else "hold", sources[0].pk, amount, kind, sub_account_id, contact, campaign, bot, own_key, reference
    )
    now = clock.now()
    what: list[Any] = [[source.pk for source in sources], amount, key, content, first_id := entry_id(now), now]
    about: list[Any] = [kind, sub_account_id, contact[:160], campaign[:160], bot[:160], own_key, reference[:160], memo[:200], *who(by)]
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


def outcome_of(use: Use, outcome: str, first_id: UUID | None, available: int) -> Posted | InsufficientCredits | KeyReused:
    if outcome in _REFUSED:
        return _REFUSED[outcome](needed=use.amount, available=available)
    if outcome == "reused" or first_id is None:
        return KeyReused()
    return Posted(use.key, use.amount, first_id, outcome == "replayed")


def settle(
    hold: Hold, state: str, amount: int, by: Actor, contact: str = "", campaign: str = "", bot: str = "",
    own_key: bool | None = None, reference: str = "", memo: str = "",
) -> tuple[str, UUID | None]:  # fmt: skip
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT outcome, first_id FROM public.credits_settle(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                hold.pk, state, amount, entry_id(now), now, contact[:160], campaign[:160], bot[:160], own_key,
                reference[:160], memo[:200], *who(by),
            ],
        )  # fmt: skip
        outcome, first_id = cursor.fetchone()
    return outcome, first_id


@transaction.atomic
def move_whole(kind: str, source: Wallet, to: Wallet, amount: int, key: str, by: Actor, memo: str, sub_account_id: UUID) -> Posted:
    check_amount(amount, least=1)
    check_transfer(source, to)
    now = clock.now()
    first_id = entry_id(now)
    if earlier := claim(key, digest(kind, source.pk, to.pk, amount), first_id):
        return Posted(key, amount, earlier, True)
    wallets = locked([source.pk, to.pk])
    source, to = without_expired(wallets[source.pk], now), wallets[to.pk]
    legs = legs_of(source, amount, now, only_transferable=kind == "reclaim")
    ids = [UUID(int=first_id.int + leg) for leg in range(len(legs))]
    entries = [move_lot(kind, id, lot, take, source, to, now, memo, sub_account_id) for id, (lot, take) in zip(ids, legs, strict=True)]
    write(entries, key=key, first_id=first_id, at=now, by=by)
    if kind == Grant.ALLOCATION:
        tell_granted(to, amount, Grant.ALLOCATION)
    return Posted(key, amount, first_id, False)


def tell_granted(wallet: Wallet, amount: int, source: str) -> None:
    """The event of units that came into a pool or a sub-account's wallet; `amount` in smallest steps."""
    if wallet.agency_id is not None:
        data = {"unit": wallet.unit_id, "amount": amount, "source": source}
        events.publish("credits.granted", agency_id=wallet.agency_id, sub_account_id=sub_account_of(wallet), data=data)


def legs_of(source: Wallet, amount: int, at: datetime, *, only_transferable: bool = False) -> list[tuple[Grant, int]]:
    """Which grants of a locked wallet give how much of `amount`, in the order of burn-down."""
    found = drawable([source.pk], at)
    lots = list(found.filter(transferable=True) if only_transferable else found)
    legs, left = [], amount
    for lot in lots:
        if take := min(lot.remaining - lot.held, left):
            legs.append((lot, take))
            left -= take
    if left:
        raise InsufficientCredits(needed=amount, available=amount - left)
    return legs


def drawable(wallet_ids: list[UUID], at: datetime) -> QuerySet[Grant]:
    """Open grants with something free, in the order of burn-down."""
    found = Grant.objects.filter(wallet_id__in=wallet_ids, is_open=True, remaining__gt=F("held"))
    return found.filter(Q(expires_at=None) | Q(expires_at__gt=at)).order_by("priority", F("expires_at").asc(nulls_last=True), "id")


def move_lot(
    kind: str, id: UUID, lot: Grant, take: int, source: Wallet, to: Wallet, at: datetime, memo: str, sub_account_id: UUID | None
) -> Entry:
    """The entry that moves `take` of `lot` into a new grant of `to`; both wallets, which are locked, are changed accordingly.

    The grant has the id of its entry, so that among equals those that were first stay first.
    """
    take_out(lot, take, source, at)
    landed = land_in(id, lot, take, to, at, Grant.TRANSFER if kind == "transfer" else Grant.ALLOCATION)
    return Entry(
        kind=kind, unit_id=source.unit_id, amount=take, grant=lot, to_grant=landed,
        from_wallet=source, from_balance=source.balance, from_sequence=source.sequence,
        to_wallet=to, to_balance=to.balance, to_sequence=to.sequence,
        agency_id=source.agency_id, sub_account_id=sub_account_id, reference=lot.source, memo=memo[:200],
    )  # fmt: skip


def converted(
    plan: Conversion, legs: list[tuple[Grant, int]], source: Wallet, to: Wallet, at: datetime, memo: str, first_id: UUID
) -> list[Entry]:
    """The entries that take `legs` of `source` into the `converted` book and bring what the plan carries out of it to `to`.

    Each side stands on the lines of its own client. The one that brings names both lots, as where units move directly.
    """
    book_id = book(CONVERTED, source.unit_id)
    giver, taker = sub_account_of(source) or sub_account_of(to), sub_account_of(to) or sub_account_of(source)
    entries: list[Entry] = []
    for (lot, take), share in zip(legs, shares([take for _, take in legs], plan.carried), strict=True):
        take_out(lot, take, source, at)
        leaves = half(lot, take, source, giver, memo)
        leaves.from_wallet_id, leaves.from_balance, leaves.from_sequence = source.pk, source.balance, source.sequence
        leaves.to_wallet_id = book_id
        entries.append(leaves)
        if share:
            arrives = half(lot, share, source, taker, memo)
            arrives.to_grant = land_in(UUID(int=first_id.int + len(entries)), lot, share, to, at, Grant.TRANSFER)
            arrives.to_wallet_id, arrives.to_balance, arrives.to_sequence = to.pk, to.balance, to.sequence
            arrives.from_wallet_id = book_id
            entries.append(arrives)
    return entries


def half(lot: Grant, amount: int, source: Wallet, sub_account_id: UUID | None, memo: str) -> Entry:
    """An entry of a conversion, still without its two sides."""
    return Entry(
        kind="transfer", unit_id=source.unit_id, amount=amount, grant=lot, agency_id=source.agency_id, sub_account_id=sub_account_id,
        reference=lot.source, memo=memo[:200],
    )  # fmt: skip


def count_converted(pool: Wallet, plan: Conversion, legs: list[tuple[Grant, int]], landed: list[int]) -> None:
    """Keep count, on the locked pool, of what conversions left over: of lots that nothing binds, or another would set the rest free."""
    left = sum(take - share for (lot, take), share in zip(legs, landed, strict=True) if take > share and not is_bound(lot))
    if left != plan.from_converted:
        pool.converted += left - plan.from_converted
        pool.save(update_fields=["converted"])


def is_bound(lot: Grant) -> bool:
    return lot.expires_at is not None or not lot.transferable


def cover(pool: Wallet, missing: int, at: datetime) -> list[tuple[Grant, int]]:
    """Which grants of the pool make up for what a conversion lacks."""
    try:
        return legs_of(pool, missing, at)
    except InsufficientCredits as refusal:
        raise PoolCannotCover(needed=missing, available=refusal.available) from refusal


def moved_earlier(key: str, first_id: UUID, source: Wallet, to: Wallet, pool: Wallet) -> Moved:
    entries = entries_from(first_id)
    taken = sum(entry.amount for entry in entries if entry.from_wallet_id == source.pk)
    received = sum(entry.amount for entry in entries if entry.to_wallet_id == to.pk)
    added = sum(entry.amount for entry in entries if entry.from_wallet_id == pool.pk)
    return Moved(key, taken, received, 0 if source.pk == pool.pk else added, first_id, True)


def added(wallet: Wallet, amount: int, at: datetime) -> Entry:
    """The entry that adjusts a locked wallet upwards, by a new grant."""
    lot = Grant.objects.create(
        wallet=wallet, source=Grant.ADJUSTMENT, priority=PRIORITIES[Grant.ADJUSTMENT], amount=amount, remaining=amount, created_at=at
    )
    move(wallet, amount, expires_at=None, at=at)
    return Entry(
        kind="adjustment", unit_id=wallet.unit_id, amount=amount, from_wallet_id=book(ISSUED, wallet.unit_id), grant=lot,
        to_wallet=wallet, to_balance=wallet.balance, to_sequence=wallet.sequence,
        agency_id=wallet.agency_id, sub_account_id=sub_account_of(wallet),
    )  # fmt: skip


def removed(wallet: Wallet, lot: Grant, take: int, at: datetime) -> Entry:
    """The entry that adjusts a locked wallet downwards, out of one of its grants."""
    take_out(lot, take, wallet, at)
    return Entry(
        kind="adjustment", unit_id=wallet.unit_id, amount=take, to_wallet_id=book(VOIDED, wallet.unit_id), grant=lot,
        from_wallet=wallet, from_balance=wallet.balance, from_sequence=wallet.sequence,
        agency_id=wallet.agency_id, sub_account_id=sub_account_of(wallet),
    )  # fmt: skip


def take_out(lot: Grant, amount: int, wallet: Wallet, at: datetime) -> None:
    lot.remaining -= amount
    lot.save(update_fields=["remaining"])
    move(wallet, -amount, expires_at=None, at=at)


def land_in(id: UUID, lot: Grant, amount: int, to: Wallet, at: datetime, source: str) -> Grant:
    """A grant of `to` that is what `lot` was, but for where it came from."""
    landed = Grant.objects.create(
        id=id, wallet=to, source=source, priority=lot.priority, expires_at=lot.expires_at, transferable=lot.transferable,
        amount=amount, remaining=amount, created_at=at,
    )  # fmt: skip
    move(to, amount, expires_at=lot.expires_at, at=at)
    return landed


def without_expired(wallet: Wallet, at: datetime) -> Wallet:
    """A locked wallet after what has expired in it is gone."""
    if wallet.next_expires_at is None or wallet.next_expires_at > at:
        return wallet
    with connection.cursor() as cursor:
        cursor.execute("SELECT public.credits_expire(%s, %s)", [wallet.pk, at])
    return Wallet.objects.get(pk=wallet.pk)


def mirrored(entry: Entry, wallets: dict[UUID, Wallet], at: datetime, memo: str) -> Entry:
    """The entry that undoes `entry`, its wallet and grant changed accordingly."""
    comes_back = wallets[entry.from_wallet_id].owner_kind != Wallet.BOOK
    wallet = wallets[entry.from_wallet_id if comes_back else entry.to_wallet_id]
    if entry.grant_id:
        lot = Grant.objects.get(pk=entry.grant_id)
        if not comes_back and lot.remaining - lot.held != lot.amount:
            raise CannotVoid("Some of these credits were used or are reserved. Nothing was changed.")
        lot.remaining += entry.amount if comes_back else -entry.amount
        lot.save(update_fields=["remaining"])
        move(wallet, entry.amount if comes_back else -entry.amount, expires_at=lot.expires_at, at=at)
    else:
        move(wallet, 0, expires_at=None, at=at)
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


def locked(ids: Iterable[UUID], *, at: datetime | None = None) -> dict[UUID, Wallet]:
    """The wallets, locked in the order that holds everywhere: wallet before pool, then by id. Boundary accounts are not locked.

    With `at` the limits of the clients among them too, each right after its wallet.
    """
    found = {wallet.pk: wallet for wallet in Wallet.objects.filter(pk__in=list(ids))}
    for wallet in sorted(found.values(), key=lock_order):
        if wallet.owner_kind != Wallet.BOOK:
            locked = found[wallet.pk] = Wallet.objects.select_for_update().get(pk=wallet.pk)
            if at and locked.has_pool_limit:
                call("credits_limit(%s, %s)", [locked.pk, at])
    return found


def locked_holds(holds: Iterable[Hold]) -> list[Hold]:
    """The holds, locked, with everything that settling them will want: one by one they would lock a wallet after a pool."""
    found = list(Hold.objects.select_for_update().filter(pk__in=[hold.pk for hold in holds]).order_by("pk"))
    clients = {hold.limit_id for hold in found if hold.limit_id}
    with connection.cursor() as cursor:
        for client in sorted(clients):
            cursor.execute("SELECT pg_advisory_xact_lock_shared(uuid_hash_extended(%s, 0))", [client])
    locked(clients.union(*(hold.wallets for hold in found)))
    return found


def clients_of_pool(entries: list[Entry]) -> set[UUID]:
    """The own wallets of the clients that some of `entries` used a pool for."""
    owners = {entry.sub_account_id for entry in entries if entry.from_sequence is not None and entry.sub_account_id}
    clients = Wallet.objects.filter(owner_kind=Wallet.SUB_ACCOUNT, owner_id__in=owners, unit_id__in={entry.unit_id for entry in entries})
    return set(clients.values_list("pk", flat=True))


def give_back(entries: list[Entry], wallets: dict[UUID, Wallet], at: datetime) -> None:
    """Count what is voided of a pool as not used, where it was used in the month that the client's limit is in."""
    limits = {wallet.owner_id: wallet.pk for wallet in wallets.values() if wallet.has_pool_limit}
    for entry in entries:
        limit = limits.get(entry.sub_account_id) if entry.sub_account_id else None
        if limit and wallets[entry.from_wallet_id].owner_kind == Wallet.AGENCY:
            began = PoolLimit.objects.values_list("month_began_at", flat=True).get(pk=limit)
            if entry.at >= began:
                call("credits_limit_count(%s, %s, %s)", [limit, -entry.amount, at])


def call(function: str, values: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT public.{function}", values)


def lock_order(wallet: Wallet) -> tuple[bool, UUID]:
    return wallet.owner_kind == Wallet.AGENCY, wallet.pk


def move(wallet: Wallet, amount: int, *, expires_at: datetime | None, at: datetime) -> None:
    """Change a locked wallet by one entry of `amount` (negative: out of it), with the alert that may go with it."""
    before = wallet.balance
    if before + amount > LARGEST:
        raise WalletFull
    wallet.balance += amount
    wallet.sequence += 1
    wallet.next_expires_at = min(filter(None, (wallet.next_expires_at, expires_at)), default=None)
    wallet.save(update_fields=["balance", "sequence", "next_expires_at"])
    if wallet.low_at is not None:
        call("credits_cross(%s, %s, %s, %s, %s)", [wallet.pk, wallet.low_at, before, wallet.balance, at])
    if amount > 0 and wallet.on_pool_since is not None:
        wallet.on_pool_since = None
        call("credits_off_pool(%s, %s)", [wallet.pk, at])


def write(entries: list[Entry], *, key: str, first_id: UUID, at: datetime, by: Actor) -> None:
    for leg, entry in enumerate(entries):
        entry.id = UUID(int=first_id.int + leg)
        entry.key, entry.at = key, at
        entry.by_kind, entry.by_id, entry.by_label, entry.on_behalf_of = who(by)
    Entry.objects.bulk_create(entries)


def claim(key: str, content: UUID, entry_id: UUID) -> UUID | None:
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


def check_amount(amount: int, *, least: int) -> None:
    if not least <= amount <= LARGEST:
        raise ValueError(f"an amount of {amount} is not between {least} and {LARGEST}")


def check_transfer(source: Wallet, to: Wallet) -> None:
    if {source.owner_kind, to.owner_kind} != {Wallet.AGENCY, Wallet.SUB_ACCOUNT}:
        raise ValueError("units move between an agency's pool and a sub-account's wallet")
    if source.unit_id != to.unit_id or source.agency_id != to.agency_id:
        raise ValueError("pool and wallet are of one unit and one agency")


def check_between(source: Wallet, to: Wallet, pool: Wallet, ratio: Fraction) -> None:
    if source.pk == to.pk or Wallet.BOOK in (source.owner_kind, to.owner_kind) or pool.owner_kind != Wallet.AGENCY:
        raise ValueError("units move between two accounts of an agency")
    if len({(wallet.unit_id, wallet.agency_id) for wallet in (source, to, pool)}) > 1:
        raise ValueError("both accounts and the pool are of one unit and one agency")
    if ratio <= 0 or (source.pk == pool.pk and ratio > 1) or (to.pk == pool.pk and ratio < 1):
        raise ValueError("no price is below the pool's")


def client_of(sources: Sequence[Wallet], sub_account_id: UUID | None) -> UUID | None:
    """Whose use a draw on `sources` is: the owner of the wallet that comes first, before its agency's pool. No pool pays for a client
    past that client's wallet, which knows whether there is a limit.
    """
    if not sources or len({source.unit_id for source in sources}) > 1:
        raise ValueError("a spend needs sources of one unit")
    order = [lock_order(source) for source in sources]
    if any(source.owner_kind == Wallet.BOOK for source in sources) or any(a >= b for a, b in itertools.pairwise(order)):
        raise ValueError("sources are wallets before pools, each once, in the order in which they are locked")
    if any(source.owner_kind == Wallet.SUB_ACCOUNT for source in sources[1:]):
        raise ValueError("one client's wallet pays, never another's")
    client = sub_account_of(sources[0])
    if sub_account_id not in (None, client):
        raise ValueError("a use is that of the client whose wallet comes first")
    return client


def digest(*what: object) -> UUID:
    """A digest of what a deed was asked to do, to tell a repeat from another use of its key."""
    return UUID(bytes=blake2b("\x1f".join(map(str, what)).encode(), digest_size=16).digest())


def entry_id(at: datetime) -> UUID:
    """A fresh id of the entry's own moment, whose last two bytes are free for the legs of one key."""
    return UUID(int=uuid7(at.timestamp()).int & ~_LAST_LEG)


def sub_account_of(wallet: Wallet) -> UUID | None:
    return wallet.owner_id if wallet.owner_kind == Wallet.SUB_ACCOUNT else None


def who(by: Actor) -> tuple[str, str, str, str]:
    return by.kind, by.id[:64], by.label[:160], by.on_behalf_of[:160]
