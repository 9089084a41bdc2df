"""The boundary accounts: where units come from and where they go. Every unit has one of each."""

from hashlib import md5
from uuid import UUID

ISSUED = "issued"
SOLD = "sold"
USED = "used"
EXPIRED = "expired"
CONVERTED = "converted"
VOIDED = "voided"
NAMES = (ISSUED, SOLD, USED, EXPIRED, CONVERTED, VOIDED)


def book(name: str, unit: str) -> UUID:
    """The wallet id of the boundary account `name` of `unit`, the same that `credits_book` in SQL derives."""
    return UUID(bytes=md5(f"canopy book {name} {unit}".encode(), usedforsecurity=False).digest())
