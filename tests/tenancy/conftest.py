from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from subaccounts import provisioning, template
from subaccounts.models import SubAccount
from subaccounts.tenancy import enter
from tests import cast as people
from workspace.models import Contact


@dataclass(frozen=True)
class Pair:
    """Two committed workspaces; in each one contact, named like its schema, that must never be seen from the other."""

    one: SubAccount
    other: SubAccount

    def __iter__(self) -> Iterator[SubAccount]:
        return iter((self.one, self.other))


@pytest.fixture(scope="session")
def committed_pair(django_db_setup: None, django_db_blocker: Any) -> Pair:
    with django_db_blocker.unblock():
        name = f"border{uuid4().hex[:8]}"
        agency = people.agency(name="Border Watch", slug=name, owner=people.person(f"{name}@border.example", "Bo", "Watch"))
        with transaction.atomic():
            pair = Pair(bare_sub_account(agency, f"{name}-one"), bare_sub_account(agency, f"{name}-other"))
            for sub_account in pair:
                with enter(sub_account):
                    Contact.objects.create(name=sub_account.schema_name)
        connection.close()
    return pair


@pytest.fixture
def pair(transactional_db: None, committed_pair: Pair) -> Pair:
    return committed_pair


def bare_sub_account(agency: Any, slug: str) -> SubAccount:
    """A sub-account with a workspace and nothing else."""
    schema, fingerprint = provisioning.take_workspace()
    return SubAccount.objects.create(agency=agency, name=slug, slug=slug, schema_name=schema, fingerprint=fingerprint)


@pytest.fixture
def scratch_schema(transactional_db: None) -> Iterator[str]:
    """A workspace of nobody's, dropped afterwards."""
    with transaction.atomic():
        name, _ = provisioning.take_workspace()
    yield name
    template.drop(name)


def whose_contacts() -> set[str]:
    return set(Contact.objects.values_list("name", flat=True))
