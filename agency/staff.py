"""Staff: the operator's own people. What each may do in their admin is said by Django's groups; a superuser may do everything."""

from collections.abc import Sequence

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from agency import audit
from agency.models import Membership, User
from agency.models.user import normal_address
from kit.actor import Actor
from kit.refusal import Refusal

_BOOKS = ["unit", "baseprice", "platformrate", "deal", "wallet", "grant", "entry", "hold", "key", "lowbalance", "crossing", "auditrun"]
BOOKS = frozenset(f"credits.view_{model}" for model in _BOOKS)
GROUPS: dict[str, frozenset[str]] = {
    "Books": BOOKS | {"credits.add_auditrun"},
    "Pricing": frozenset(
        f"credits.{deed}_{model}"
        for model, deeds in {
            "unit": "view add change delete",
            "baseprice": "view add change delete",
            "platformrate": "view change",
            "deal": "view add change delete",
        }.items()
        for deed in deeds.split()
    ),
    "Adjustments": BOOKS | {"credits.adjust_wallet"},
    "Audit log": frozenset({"agency.view_auditrecord"}),
}


class NotStaff(Refusal):
    """This person cannot be made staff; the message says why."""

    code = "not_staff"


@transaction.atomic
def make_groups() -> None:
    """The groups as this release wants them. People stay in theirs; safe to repeat."""
    known = {f"{app}.{codename}": pk for pk, app, codename in Permission.objects.values_list("pk", "content_type__app_label", "codename")}
    for name, wanted in GROUPS.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set([known[permission] for permission in sorted(wanted)])


@transaction.atomic
def make(
    *, email: str, by: Actor, first_name: str = "", last_name: str = "", password: str | None = None,
    groups: Sequence[str] = (), is_superuser: bool = False,
) -> User:  # fmt: skip
    """A member of staff: somebody new, or somebody of the platform's realm who becomes one and keeps their password.

    `groups` are what they are in from now on. Raises `NotStaff` for a group that does not exist and for somebody of an agency's team.
    """
    wanted = list(Group.objects.filter(name__in=groups))
    if missing := set(groups) - {group.name for group in wanted}:
        raise NotStaff(f"There is no group called {', '.join(sorted(missing))}. There are: {', '.join(GROUPS)}.")
    user = User.objects.known_as(normal_address(email), realm=None)
    if user is None:
        user = User.objects.create_user(email=email, password=password, first_name=first_name, last_name=last_name)
    elif Membership.objects.filter(user=user).exists():
        raise NotStaff(f"{user.email} belongs to an agency's team. Staff have an address of their own.")
    user.is_staff, user.is_superuser = True, is_superuser
    user.save(update_fields=["is_staff", "is_superuser"])
    user.groups.set(wanted)
    audit.record("staff.made", by=by, agency=None, subject=user.email, after={"groups": sorted(groups), "is_superuser": is_superuser})
    return user
