"""The one place where a workspace's schema is entered."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from subaccounts.models import SubAccount


class NestedWorkspace(Exception):
    """Code that runs in one workspace tried to enter another."""


@contextmanager
def enter(sub_account: SubAccount) -> Iterator[SubAccount]:
    """Run the block in the schema of `sub_account`; public again afterwards, whatever happens inside.

    Entering the workspace one is already in is allowed; entering another raises `NestedWorkspace`.
    """
    current = connection.schema_name
    if current not in ("public", sub_account.schema_name):
        raise NestedWorkspace(f"already in {current}, cannot enter {sub_account.schema_name}")
    before = connection.tenant
    connection.set_tenant(sub_account)
    try:
        yield sub_account
    finally:
        connection.set_tenant(before)
