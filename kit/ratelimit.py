"""How often something may happen, counted in Redis over all processes."""

from dataclasses import dataclass

import redis

from kit import cache
from kit.requests import Unavailable

# One round trip and atomic: a count without an expiry would lock somebody out for ever.
_COUNT = "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return {n, redis.call('PTTL', KEYS[1])}"


class LimitUnknown(Unavailable):
    """Redis does not answer, so nobody knows how often this happened. Fails closed."""


@dataclass(frozen=True)
class Count:
    """How many events the window holds, this one included, and in how many whole seconds it ends."""

    events: int
    ends_in: int


def count(key: str, seconds: int) -> Count:
    """Count one event under `key` in a window of `seconds` that starts with the first.

    Raises `LimitUnknown` (503) when Redis does not answer.
    """
    try:
        events, milliseconds = cache.client().eval(_COUNT, 1, cache.named("limit", key), str(seconds * 1000))
    except redis.exceptions.RedisError as error:
        raise LimitUnknown() from error
    return Count(int(events), max(1, -(-int(milliseconds) // 1000)))


def allow(key: str, limit: int, seconds: int) -> bool:
    """Count one event as `count` does; whether it is among the first `limit` of its window."""
    return count(key, seconds).events <= limit
