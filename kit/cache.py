"""Our own use of Redis: small, bounded in time, and disposable at any moment."""

from functools import cache
from typing import TYPE_CHECKING

import redis
from django.conf import settings

if TYPE_CHECKING:
    from redis import Redis


@cache
def client() -> "Redis":
    """The process's Redis client. A server that does not answer raises within two seconds."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1, health_check_interval=30)


def named(*parts: str) -> str:
    """A key of ours: several installations may share one Redis."""
    return ":".join((settings.CACHE_PREFIX, *parts))
