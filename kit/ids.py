"""Identifiers that sort by the time they were made."""

import os
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid_of(text: str) -> UUID | None:
    """The id that is written there, or None where it is none: for what an address or a form says."""
    try:
        return UUID(text)
    except ValueError:
        return None


def uuid7(at: float | None = None) -> UUID:
    """A UUID version 7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, 12 of the part of the millisecond (§6.2, method 3), 62 random bits.

    `at` is a Unix time in seconds; now when it is left out. Two that were made some microseconds apart sort as they were made.
    """
    # By way of whole microseconds: a moment's float may lie just below its millisecond.
    milliseconds, microseconds = divmod(round((time.time() if at is None else at) * 1_000_000), 1000)
    value = (milliseconds & (2**48 - 1)) << 80 | int.from_bytes(os.urandom(8), "big")
    value |= 0x7 << 76 | (microseconds * 4096 // 1000) << 64
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def least_of(moment: datetime) -> UUID:
    """A value below every `uuid7` of this moment's millisecond and above every earlier one."""
    return UUID(int=max(0, (moment - _EPOCH) // timedelta(milliseconds=1)) << 80)


def moment_of(id: UUID) -> datetime:
    """When a `uuid7` was made, to the millisecond, in UTC."""
    return _EPOCH + timedelta(milliseconds=id.int >> 80)
