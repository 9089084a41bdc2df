"""gunicorn's settings. Threads, because a request waits for PostgreSQL more than it computes; several processes for the cores."""

import os

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
