"""All people of an agency, its team and its clients' people: filtered, sorted and paged by key."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, TextField, Value, When, Window
from django.db.models.functions import Coalesce, Concat, Lower, NullIf, RowNumber, Trim

from agency.access import AGENCY_ROLES, CLIENT_ROLES, Role
from agency.models import Agency, Membership, User
from subaccounts.models import Access, AccessToAll, SubAccount

PAGE = 50
NAMED = 12
DEFAULT_SORT = "role"
NEVER = datetime(1, 1, 1, tzinfo=UTC)
_FULL_NAME = Trim(Concat("first_name", Value(" "), "last_name"))
_NAME = Lower(Coalesce(NullIf(_FULL_NAME, Value("")), "email", output_field=TextField()))
_RANK = Case(
    *(When(team_role=role, then=Value(str(rank))) for rank, role in enumerate(AGENCY_ROLES)),
    default=Value(str(len(AGENCY_ROLES))),
    output_field=TextField(),
)
SORTS = {"role": Concat(_RANK, _NAME, output_field=TextField()), "name": _NAME, "seen": Coalesce("last_login", Value(NEVER))}


@dataclass(frozen=True)
class Wish:
    """What the reader asked to see: a text in name or address, a role, a sort such as "-seen"."""

    search: str = ""
    role: str = ""
    sort: str = DEFAULT_SORT

    @property
    def is_filtered(self) -> bool:
        return bool(self.search or self.role)

    @property
    def field(self) -> str:
        name = self.sort.removeprefix("-")
        return name if name in SORTS else DEFAULT_SORT

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")


@dataclass(frozen=True)
class Person:
    """One line of the list. `accounts` names the first `NAMED` of the `account_count` sub-accounts that were given one by one."""

    user: User
    roles: tuple[Role, ...]
    reaches_all: bool
    has_second_factor: bool
    accounts: tuple[str, ...] = ()
    account_count: int = 0

    @property
    def role(self) -> str:
        return ", ".join(role.label for role in self.roles)

    @property
    def is_owner(self) -> bool:
        return Role.OWNER in self.roles

    @property
    def is_team(self) -> bool:
        return self.user.realm_id is None

    @property
    def accounts_not_named(self) -> int:
        return self.account_count - len(self.accounts)


@dataclass(frozen=True)
class Page:
    rows: list[Person]
    next_cursor: UUID | None = None


def of_agency(agency: Agency) -> QuerySet[User]:
    """Everyone who gets in somewhere: the team, and clients with a sub-account that is there. Nobody of another agency, ever."""
    team = Membership.objects.filter(agency=agency).values("user")
    clients = Access.objects.filter(sub_account__agency=agency, sub_account__status=SubAccount.READY, user__realm=agency).values("user")
    role = Membership.objects.filter(agency=agency, user=OuterRef("pk")).values("role")
    to_all = AccessToAll.objects.filter(agency=agency, user=OuterRef("pk"))
    factors = Authenticator.objects.filter(user=OuterRef("pk")).exclude(type=Authenticator.Type.RECOVERY_CODES)
    found = User.objects.filter(pk__in=team.union(clients, all=True))
    return found.annotate(team_role=Subquery(role), to_all=Exists(to_all), second_factor=Exists(factors))


def page(agency: Agency, wish: Wish, *, cursor: UUID | None = None) -> Page:
    """The people after `cursor` (the public id of the last one seen; an unknown one starts over). Four queries, whoever there is."""
    wanted = filtered(agency, wish).annotate(key=SORTS[wish.field])
    seen = wanted.filter(public_id=cursor).first() if cursor else None
    if seen is not None:
        beyond, key = ("lt" if wish.is_descending else "gt"), seen.key
        wanted = wanted.filter(Q(**{f"key__{beyond}": key}) | Q(**{"key": key, f"pk__{beyond}": seen.pk}))
    order = ("-key", "-pk") if wish.is_descending else ("key", "pk")
    found = list(wanted.order_by(*order)[: PAGE + 1])
    return Page(described(agency, found[:PAGE]), found[PAGE - 1].public_id if len(found) > PAGE else None)


def every(agency: Agency, wish: Wish) -> Iterator[Person]:
    """All of them in the wished order, read page by page as they are asked for."""
    cursor: UUID | None = None
    while True:
        found = page(agency, wish, cursor=cursor)
        yield from found.rows
        cursor = found.next_cursor
        if cursor is None:
            return


def filtered(agency: Agency, wish: Wish) -> QuerySet[User]:
    people = of_agency(agency)
    if wish.search:
        people = people.alias(full_name=_FULL_NAME).filter(Q(full_name__icontains=wish.search) | Q(email__icontains=wish.search))
    if wish.role in AGENCY_ROLES:
        return people.filter(pk__in=Membership.objects.filter(agency=agency, role=wish.role).values("user"))
    if wish.role in CLIENT_ROLES:
        with_role = _accesses(agency).filter(role=wish.role)
        return people.filter(realm=agency, pk__in=with_role.values("user"))
    return people


def described(agency: Agency, users: Iterable[User]) -> list[Person]:
    """The lines of people found by `of_agency`: roles and accounts of all of them in two queries."""
    users = list(users)
    accesses = _accesses(agency).filter(user__in=users)
    sums = accesses.order_by().values("user_id").annotate(roles=ArrayAgg("role", distinct=True, default=Value([])), count=Count("pk"))
    sum_of: dict[int, dict[str, Any]] = {row["user_id"]: dict(row) for row in sums}
    place = Window(RowNumber(), partition_by=F("user"), order_by=[F("sub_account__name").asc(), F("sub_account").asc()])
    first = accesses.annotate(place=place).filter(place__lte=NAMED).order_by("user", "place")
    names: dict[int, list[str]] = {}
    for user_id, name in first.values_list("user_id", "sub_account__name"):
        names.setdefault(user_id, []).append(name)
    return [_described(user, sum_of.get(user.pk, {}), names.get(user.pk, [])) for user in users]


def _described(user: User, found: dict[str, Any], names: list[str]) -> Person:
    team_role: str | None = user.team_role  # type: ignore[attr-defined]  # (annotated by of_agency, as the two below)
    return Person(
        user=user,
        roles=(Role(team_role),) if team_role else tuple(role for role in CLIENT_ROLES if role in found.get("roles", ())),
        reaches_all=team_role in (Role.OWNER, Role.ADMIN) or bool(user.to_all),  # type: ignore[attr-defined]
        has_second_factor=bool(user.second_factor),  # type: ignore[attr-defined]
        accounts=tuple(names),
        account_count=found.get("count", 0),
    )


def _accesses(agency: Agency) -> QuerySet[Access]:
    return Access.objects.filter(sub_account__agency=agency, sub_account__status=SubAccount.READY)
