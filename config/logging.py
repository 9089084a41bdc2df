"""Structured logs: JSON lines in production, readable lines on a laptop, secrets in neither.

Everything goes through the standard library's root logger, so Django's, Celery's and gunicorn's lines are redacted too.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"

SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)?|secret|token|authorization|cookie|api_?key|private_?key|credential|signature|session_?(key|id)|csrf|nonce|otp"
    r"|recovery|(^|[_-])codes?$|dsn|(database|redis|broker)_url",
    re.IGNORECASE,
)
PLAIN_KEYS = frozenset({"status_code", "code", "error_code"})
"""`code` alone is a refusal's stable word (kit.refusal), never something a person typed."""

SECRET_VALUES: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"\b((?:sk|rk|pk)_(?:live|test)?_?|whsec_|cnp_)[A-Za-z0-9+/=_-]{6,}"), rf"\1{REDACTED}"),
    (re.compile(r"\b(sk-)[A-Za-z0-9_-]{12,}"), rf"\1{REDACTED}"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"(__Host-[\w-]+)=[^;\s,]+"), rf"\1={REDACTED}"),
    (
        re.compile(
            r"([\"']?\b(?:\w*password\w*|passwd|secret|\w*token|code|otp|nonce|signature|api_?key|sessionid|key)\b[\"']?\s*[=:]\s*)"
            r"(\"[^\"]*\"|'[^']*'|[^\s&;,)\]}]+)",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(\w+://[^:/@\s]*):[^@\s/]+@"), rf"\1:{REDACTED}@"),
    (re.compile(r"(/invitation/)[^/?#\s\"']+"), rf"\1{REDACTED}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), REDACTED),
]

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """`text` without anything that looks like a secret."""
    for pattern, replacement in SECRET_VALUES:
        text = pattern.sub(replacement, text)
    return text


def one_line(text: str) -> str:
    """`text` with line breaks and direction marks spelled out, so that nobody can write a second line (ASVS 16.4.1)."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Blank secrets by the name of their field and by their look, at any depth."""
    return {key: _redacted(key, value) for key, value in event.items()}


def _redacted(key: str, value: Any) -> Any:
    if SECRET_KEY.search(key) and key not in PLAIN_KEYS:
        return REDACTED
    if isinstance(value, str):
        return clean(value) if key == "exception" else one_line(clean(value))
    if isinstance(value, Mapping):
        return {str(name): _redacted(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", inner) for inner in value]
    return value if isinstance(value, int | float | bool | None) else one_line(clean(str(value)))


class _StandardError(logging.Handler):
    """Writes to whatever standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # closed, full or gone: a log line is no reason to fail
            self.handleError(record)


def configure(level: str, as_json: bool) -> None:
    """Send every log line of this process to standard error, redacted. Safe to call again."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.format_exc_info, redact, renderer],
    )
    handler = _StandardError()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.PositionalArgumentsFormatter(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    _quieten()


def _quieten() -> None:
    """Our own line per request says it all; these would say it again, or say things nobody acts on."""
    logging.getLogger("django.request").filters = [lambda record: bool(record.exc_info)]
    for name in ("celery.worker.strategy", "celery.app.trace", "celery.beat"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("django.server").setLevel(logging.CRITICAL)
    for name in ("kombu", "amqp", "urllib3", "asyncio", "psycopg.pool"):
        logging.getLogger(name).setLevel(logging.WARNING)
