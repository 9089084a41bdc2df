"""gunicorn's settings. Threads, because a request waits for PostgreSQL more than it computes; several processes for the cores."""

import logging
import os
from typing import Any

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
