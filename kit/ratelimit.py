"""How often something may happen, counted in Redis over all processes."""

import redis

from kit import cache
from kit.requests import Unavailable

# One round trip and atomic: a count without an expiry would lock somebody out for ever.
_COUNT = "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end return n"


class LimitUnknown(Unavailable):
    """Redis does not answer, so nobody knows how often this happened. Fails closed."""


def allow(key: str, limit: int, seconds: int) -> bool:
    """Count one event under `key`; whether it is among the first `limit` of a window of `seconds` that starts with the first.

    Raises `LimitUnknown` (503) when Redis does not answer.
    """
    try:
        count = cache.client().eval(_COUNT, 1, cache.named("limit", key), str(seconds * 1000))
    except redis.exceptions.RedisError as error:
        raise LimitUnknown() from error
    return int(count) <= limit
