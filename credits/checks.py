"""Whether the books are right: every law of the ledger (README.md), verified in SQL over all rows."""

from dataclasses import dataclass
from pathlib import Path

from django.db import connection, transaction

from kit import clock

LAWS = {
    1: "All balances of a unit sum to zero",
    2: "Entries are forever",
    3: "A wallet's balance is its last entry's and the sum of its grants",
    4: "Sequence numbers have no gap",
    5: "One key posts once",
    6: "Nothing below zero, no hold beyond the balance",
    7: "A grant is never overspent",
    8: "A void restores the very grants",
    9: "One alert per crossing",
    10: "Replaying all entries reproduces every balance",
    11: "What moves between wallets keeps its expiry and what binds it",
    12: "A limit counts what the client uses of the pool, and each crossing is told once",
    13: "No conversion makes units",
    14: "Totals are what a recount of the entries gives",
    15: "An entry's id is of the entry's own moment",
    16: "A wallet knows when the first of it expires",
}
_SQL = (Path(__file__).parent / "sql" / "audit.sql").read_text()
_SHEET_SQL = (Path(__file__).parent / "sql" / "sheet.sql").read_text()
_TOTALS_SQL = (Path(__file__).parent / "sql" / "audit_totals.sql").read_text()


@dataclass(frozen=True, slots=True)
class Finding:
    law: int
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"law {self.law} ({LAWS[self.law]}): {self.subject} {self.detail}"


def audit() -> list[Finding]:
    """What breaks a law, row by row (10,000 at most); empty when the books are right. Reads one snapshot, changes nothing."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '30min'")
        cursor.execute(_SQL, {"now": clock.now()})
        findings = [Finding(*row) for row in cursor.fetchall()]
        cursor.execute(_TOTALS_SQL, {})
        return [*findings, *(Finding(*row) for row in cursor.fetchall())]


def sheet() -> dict[str, dict[str, int]]:
    """What every account holds, in smallest steps, by unit: `pools`, `wallets` (clients' own) and each boundary account.

    A boundary account is what went into it less what came out, so `issued` and `sold` are negative and each unit sums to zero.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '30min'")
        cursor.execute(_SHEET_SQL)
        found: dict[str, dict[str, int]] = {}
        for unit, account, amount in cursor.fetchall():
            found.setdefault(unit, {})[account] = amount
        return found
