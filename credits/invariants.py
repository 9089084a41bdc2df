"""What the ledger promises of its rows (README.md)."""

from collections.abc import Iterator

from credits import checks
from kit.invariants import invariant


@invariant("the ledger keeps its laws")
def ledger_keeps_its_laws() -> Iterator[str]:
    yield from map(str, checks.audit())
