"""The websites a chatbot may appear on, as hosts or origins, and the `frame-ancestors` they make."""

import re

from django.core.exceptions import ValidationError

# Nothing that could end a source or a directive of the policy gets through: no spaces, quotes, commas or semicolons.
_WEBSITE = re.compile(
    r"(?P<scheme>https?://)?(?P<host>(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(?P<port>:(\d{1,5}|\*))?"
)
MOST = 20


def parse(text: str) -> list[str]:
    """One website per line (or separated by commas), tidied, each once: `acme.example`, `https://shop.acme.example`,
    `*.acme.example`, `http://localhost:9000`. A pasted address loses its path. Raises `ValidationError`."""
    websites = list(dict.fromkeys(_parse_one(raw) for raw in re.split(r"[\s,]+", text.strip().lower()) if raw))
    if len(websites) > MOST:
        raise ValidationError(f"At most {MOST} websites.")
    return websites


def _parse_one(raw: str) -> str:
    scheme, separator, rest = raw.rpartition("://")
    candidate = f"{scheme}{separator}{re.split(r'[/?#]', rest)[0]}"
    match = _WEBSITE.fullmatch(candidate)
    if match is None or len(candidate) > 260 or not _is_port(match["port"], match["host"]):
        raise ValidationError(f"“{raw[:80]}” is not a website. Write it like acme.example or https://shop.acme.example.")
    if "." not in match["host"] and match["host"] != "localhost":
        raise ValidationError(f"“{raw[:80]}” is not a whole name. Write it like acme.example.")
    return candidate.replace("://www.", "://", 1).removeprefix("www.")


def _is_port(port: str | None, host: str) -> bool:
    """Any port of one's own machine, for those who build a website; otherwise a number."""
    if port is None or port == ":*":
        return port is None or host == "localhost"
    return 0 < int(port[1:]) < 65536


def frame_ancestors(websites: list[str]) -> list[str]:
    """The sources of `frame-ancestors`: our own pages (the preview) and each website, with and without `www.`."""
    sources = ["'self'"]
    for website in websites:
        scheme, separator, host = website.rpartition("://")
        sources.append(website)
        if not host.startswith(("*.", "localhost")) and not host.replace(".", "").replace(":", "").isdigit():
            sources.append(f"{scheme}{separator}www.{host}")
    return sources
