"""Looking through the audit log: an agency's, or the part of it that one of its clients reads. Pages by bounded looks (`kit.looks`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from agency import deeds
from agency.models import Agency, AuditRecord
from kit import looks
from kit.ids import moment_of

PAGE = 50
REACH = 4000
CHUNK = 500
CHUNK_REACH = 50_000
# Who is not a person: the kind of actor by the word an address has for it.
NOT_PEOPLE = {"system": "The product itself", "api_key": "API keys", "staff": "Platform staff"}


@dataclass(frozen=True)
class Trail:
    """Whose log is read: an agency's, or what the client `sub_account_id` reads of it.

    Where the agency's people work from is not a client's to know, nor where staff do an agency's: `own_people` are the ids of those
    whose addresses a client is told.
    """

    agency: Agency
    sub_account_id: UUID | None = None
    own_people: tuple[str, ...] = ()

    @property
    def is_of_client(self) -> bool:
        return self.sub_account_id is not None

    def address_of(self, record: AuditRecord) -> str:
        is_told = record.actor_id in self.own_people if self.is_of_client else record.actor_kind != "staff"
        return record.address if is_told else ""


@dataclass(frozen=True)
class Wish:
    """Which records; all where empty. From `since` on, before `until`.

    `person` is a person's public id or a word of `NOT_PEOPLE`, `address` a whole network address, `assisting` whether it was done on
    a client's behalf.
    """

    kind: str = ""
    person: str = ""
    client: UUID | None = None
    assisting: bool | None = None
    address: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Page:
    """`older` and `newer` are the cursors to go on from. `looked_back_to` is set where the page is not full and yet not the last."""

    records: list[AuditRecord]
    older: UUID | None = None
    newer: UUID | None = None
    looked_back_to: datetime | None = None


def page(trail: Trail, wish: Wish, *, before: UUID | None = None, after: UUID | None = None, size: int = PAGE) -> Page:
    """The `size` records older than `before`, or newer than `after`, or the newest. One bounded look, at any depth."""
    search = _search(trail, wish)
    if after is not None:
        found, reached = looks.look(search, after, size, upwards=True)
        if reached is not None:
            return Page(found[::-1], found[0].pk if found else after, found[-1].pk if len(found) == size else reached)
        before = None
    found, reached = looks.look(search, before, size)
    newer = found[0].pk if found and before is not None else None
    return Page(found, reached, newer, moment_of(reached) if reached is not None and len(found) < size else None)


def every(trail: Trail, wish: Wish, *, before: UUID | None = None, chunk: int = CHUNK) -> Iterator[list[AuditRecord]]:
    """All records older than `before`, in chunks that are read as they are asked for: memory stays the same, no single query is long."""
    search = _search(trail, wish)
    cursor = before
    while True:
        found, cursor = looks.look(search, cursor, chunk, reach=CHUNK_REACH)
        yield found
        if cursor is None:
            return


def _search(trail: Trail, wish: Wish) -> looks.Search:
    """Every condition of `found_by` is a column of one index that ends with the id; which, the first that is asked for says."""
    search = looks.Search(AuditRecord, REACH)
    search.only("agency_id", trail.agency.pk, "bigint")
    search.found_by.between(wish.since, wish.until)
    is_person = bool(wish.person) and wish.person not in NOT_PEOPLE
    indexed: list[tuple[str, Any, str]] = [
        ("sub_account_id", trail.sub_account_id, "uuid"),
        ("sub_account_id", wish.client, "uuid"),
        ("actor_id", wish.person if is_person else "", "text"),
        ("address", wish.address, "text"),
    ]
    asked = [(column, value, kind) for column, value, kind in indexed if value]
    for column, value, kind in asked[:1]:
        search.only(column, value, kind)
        if column == "address":
            search.found_by.add("address <> ''")  # as its index says, which the planner does not conclude
    for column, value, _ in asked[1:]:
        search.wanted.add(f"{column} = %s", value)
    if wish.assisting is not None:
        is_indexed = wish.assisting and not asked
        (search.found_by if is_indexed else search.wanted).add("on_behalf_of <> ''" if wish.assisting else "on_behalf_of = ''")
    if wish.person and not is_person:
        search.wanted.add("actor_kind = %s", wish.person)
    if wish.kind == deeds.Kind.OTHER:
        search.wanted.add("action <> ALL(%s)", list(deeds.DEEDS))
    elif wish.kind:
        search.wanted.add("action = ANY(%s)", deeds.actions_of(wish.kind))
    if wish.address:  # who may not read where somebody was must not find it out by asking either
        own = "actor_id = ANY(%s)" if trail.is_of_client else "actor_kind <> 'staff'"
        search.wanted.add(own, *([list(trail.own_people)] if trail.is_of_client else []))
    if trail.is_of_client:
        _only_what_is_told(search.wanted)
    return search


def _only_what_is_told(wanted: looks.Conditions) -> None:
    always = [action for action, deed in deeds.DEEDS.items() if deed.told is not None and not deed.told_when and not deed.told_if_touched]
    texts: list[str] = ["action = ANY(%s)"]
    params: list[object] = [always]
    for action, deed in deeds.DEEDS.items():
        if deed.told_when:
            name, values = deed.told_when
            texts.append("action = %s AND coalesce(after ->> %s, before ->> %s) = ANY(%s)")
            params += [action, name, name, list(values)]
        elif deed.told_if_touched:
            texts.append("action = %s AND after ?| %s")
            params += [action, sorted(deed.told or ())]
    wanted.add(f"({' OR '.join(f'({text})' for text in texts)})", *params)
