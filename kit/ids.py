"""Identifiers that sort by the time they were made."""

import os
import time
from uuid import UUID


def uuid7(at: float | None = None) -> UUID:
    """A UUID version 7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then 74 random bits.

    `at` is a Unix time in seconds; now when it is left out.
    """
    milliseconds = int((time.time() if at is None else at) * 1000)
    value = (milliseconds & (2**48 - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
