"""The one place where a workspace's schema is entered."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from subaccounts.models import SubAccount
from subaccounts.postgresql.base import PUBLIC

SCHEMA_NAME = re.compile(r"t_[0-9a-f]{16}")


class NestedWorkspace(Exception):
    """Code that runs in one workspace tried to enter another."""


class NotAWorkspace(Exception):
    """The schema's name is not one that was generated here."""


def new_schema_name() -> str:
    """A fresh name: opaque, never derived from the customer, never typed by anybody, never renamed."""
    return f"t_{secrets.token_hex(8)}"


@contextmanager
def enter(sub_account: SubAccount) -> Iterator[SubAccount]:
    """Run the block in the schema of `sub_account`; where one was before afterwards, whatever happens inside.

    Entering the workspace one is already in is allowed; entering another raises `NestedWorkspace`. Sends nothing to the
    server by itself. A schema that is missing or half built has no tables, so a statement on them raises.
    """
    wanted = sub_account.schema_name
    if not SCHEMA_NAME.fullmatch(wanted):
        raise NotAWorkspace(wanted)
    if connection.schema_name not in (PUBLIC, wanted):
        raise NestedWorkspace(f"already in {connection.schema_name}, cannot enter {wanted}")
    before = connection.tenant
    connection.set_tenant(sub_account)
    try:
        yield sub_account
    finally:
        connection.set_tenant(before)


@contextmanager
def leave() -> Iterator[None]:
    """Run the block in no workspace, for what concerns several of them; where one was before afterwards."""
    before = connection.tenant
    connection.set_schema_to_public()
    try:
        yield
    finally:
        connection.set_tenant(before)
