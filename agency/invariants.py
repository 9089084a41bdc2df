from collections.abc import Iterator

from django.db.models import Q

from agency.models import Membership, User
from kit.invariants import ROWS_SHOWN, invariant


@invariant("teams and staff belong to no realm")
def teams_have_no_realm() -> Iterator[str]:
    for membership in Membership.objects.exclude(user__realm=None).select_related("user", "agency").order_by("pk")[:ROWS_SHOWN]:
        yield f"{membership.user.email} is in the team of {membership.agency.slug} and a client of realm {membership.user.realm_id}"
    for user in User.objects.filter(Q(is_staff=True) | Q(is_superuser=True)).exclude(realm=None).order_by("pk")[:ROWS_SHOWN]:
        yield f"{user.email} is staff and a client of realm {user.realm_id}"
