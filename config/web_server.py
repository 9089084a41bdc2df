"""gunicorn's settings. Threads, because a request waits for PostgreSQL more than it computes; several processes for the cores."""

import gc
import logging
import os
from typing import Any

from django.urls import get_resolver

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_PROCESSES", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))
timeout = 60
graceful_timeout = 30
keepalive = 5
# PostgreSQL connections grow with the workspaces they have touched, Python with what it has seen: start afresh now and then.
max_requests = 5000
max_requests_jitter = 500
accesslog = None
errorlog = "-"


def post_worker_init(worker: Any) -> None:
    """From here on what gunicorn has to say goes where our own lines go, as JSON and redacted (config/logging.py)."""
    log = logging.getLogger("gunicorn.error")
    log.handlers.clear()
    log.propagate = True
    settle()


def settle() -> None:
    """Load every page's code and take what is there then out of the garbage collector's rounds, which held a request up for 90 ms."""
    get_resolver().url_patterns  # noqa: B018 (imports all views)
    gc.collect()
    gc.freeze()
