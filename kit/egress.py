"""Web requests to addresses that somebody else chose: only to the public Internet, and only for a moment.

A name is resolved once, every address it has is checked, and the address that was checked is the one that is dialled, so a
name that answers differently the second time gains nothing. No redirects, no proxies, no other ports, a limit for the
whole exchange.
"""

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import httpcore
from django.conf import settings

from kit.refusal import Refusal

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
KEPT_BYTES = 64 * 1024
MAX_URL_LENGTH = 500

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What a connection's failure says besides its words: numbers, names and lines of the library.
_MARKS = re.compile(r"\[[^\]]*\]|\([^)]*\)")
_PORTS = {"https": 443, "http": 80}
# IPv6 networks that carry an IPv4 address, and where in the number it stands.
_CARRIERS = [
    (ip_network(network), shift)
    for network, shift in (("64:ff9b::/96", 0), ("64:ff9b:1::/48", 0), ("::ffff:0:0/96", 0), ("::/96", 0), ("2002::/16", 80))
]
# What `is_global` lets through and no receiver of ours lives in.
_DENIED = [
    ip_network(network)
    for network in (
        "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "100.64.0.0/10",
        "fec0::/10", "2001::/23", "3fff::/20", "5f00::/16", "100::/64",
    )
]  # fmt: skip


class TargetRefused(Refusal):
    """The address is none that we send to."""

    code = "target_refused"
    status = 400


class ExchangeFailed(Exception):
    """No answer: not connected, broken off, or too slow. The message is for the delivery log."""


@dataclass(frozen=True)
class Answer:
    """`status` as sent, headers in lower case, at most `KEPT_BYTES` of the body."""

    status: int
    headers: dict[str, str]
    body: bytes


def checked(url: str) -> str:
    """`url` in the one spelling we keep. Raises `TargetRefused` with what is wrong, in words.

    Looks the name up as well, for an early word to the person who typed it; what counts is the check at each request.
    """
    scheme, host, port, target = _parts(url)
    if not _resolves_to_allowed(host, port):
        raise TargetRefused(f"“{host}” does not lead to a public address. Use one that can be reached from the Internet.")
    default = _PORTS[scheme] == port
    return f"{scheme}://{_bracketed(host)}{'' if default else f':{port}'}{target}"


def post(url: str, *, body: bytes, headers: dict[str, str]) -> Answer:
    """Send `body` and read the answer, all within `TOTAL_SECONDS`. Raises `TargetRefused` and `ExchangeFailed`."""
    scheme, host, port, target = _parts(url)
    deadline = time.monotonic() + TOTAL_SECONDS
    address = httpcore.URL(scheme=scheme.encode(), host=host.encode(), port=port, target=target.encode())
    timeout = {"connect": CONNECT_SECONDS, "read": TOTAL_SECONDS, "write": TOTAL_SECONDS, "pool": CONNECT_SECONDS}
    named = [(name.encode(), value.encode()) for name, value in {"host": _authority(scheme, host, port), **headers}.items()]
    try:
        with (
            httpcore.ConnectionPool(network_backend=_Guard(deadline), ssl_context=_trusted(), retries=0) as pool,
            pool.stream("POST", address, headers=[*named, (b"content-length", str(len(body)).encode())], content=body,
                        extensions={"timeout": timeout}) as response,
        ):  # fmt: skip
            return Answer(response.status, _named(response.headers), _first_bytes(response.iter_stream()))
    except (httpcore.TimeoutException, TimeoutError) as error:
        raise ExchangeFailed(f"no answer within {TOTAL_SECONDS:.0f} seconds") from error
    except httpcore.ConnectError as error:
        raise ExchangeFailed(_MARKS.sub("", str(error)).strip().lower() or "no connection") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise ExchangeFailed(f"connection broken off ({type(error).__name__})") from error


def is_allowed(address: Address) -> bool:
    """Whether we send to this address: public, not ours, not a way round to one that is not."""
    if isinstance(address, IPv6Address):
        if address.scope_id or address in ip_network("::/96"):
            return False
        for network, shift in _CARRIERS:
            if address in network and not is_allowed(IPv4Address((int(address) >> shift) & 0xFFFFFFFF)):
                return False
    if address.is_multicast or address.is_reserved or address.is_unspecified or not address.is_global:
        return False
    return not _inside(address, _DENIED)


@cache
def _trusted() -> ssl.SSLContext:
    """Reading the authorities takes longer than most of an exchange."""
    return ssl.create_default_context()


class _Guard(httpcore.NetworkBackend):
    """Dials only an address it has checked, and gives everything on the connection one common end."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = _addresses(host, port)
        if not addresses or not all(_may_dial(address, port) for address in addresses):
            raise httpcore.ConnectError("destination not allowed")
        return _Ending(self.real.connect_tcp(str(addresses[0]), port, timeout, local_address, socket_options), self.deadline)

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("destination not allowed")


class _Ending(httpcore.NetworkStream):
    """A connection on which nothing waits beyond the deadline, however little arrives at a time."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self.stream = stream
        self.deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, self._left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self._left(httpcore.WriteTimeout))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Ending(self.stream.start_tls(ssl_context, server_hostname, self._left(httpcore.ConnectTimeout)), self.deadline)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)

    def _left(self, too_late: type[httpcore.TimeoutException]) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise too_late
        return left


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host as an A-label, port, path with query. Raises `TargetRefused`."""
    if len(url) > MAX_URL_LENGTH or any(ord(character) <= 32 or ord(character) == 127 for character in url) or "\\" in url:
        raise TargetRefused(f"This is not a web address we can send to: at most {MAX_URL_LENGTH} characters, no spaces.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError) as error:
        raise TargetRefused("This is not a web address. It looks like https://example.com/webhooks.") from error
    if parts.scheme not in settings.WEBHOOK_SCHEMES:
        raise TargetRefused("The address has to begin with https://.")
    if not host or parts.username is not None or parts.password is not None:
        raise TargetRefused("This is not a web address we can send to: write the host's name, without a user name.")
    if "%0d" in url.lower() or "%0a" in url.lower():
        raise TargetRefused("The address must not contain line breaks.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with suppress(UnicodeError):
        target.encode("ascii")
        return parts.scheme, host.lower(), _PORTS[parts.scheme] if port is None else port, target
    raise TargetRefused("Write special characters of the path as %-codes.")


def _resolves_to_allowed(host: str, port: int) -> bool:
    addresses = _addresses(host, port)
    return bool(addresses) and all(_may_dial(address, port) for address in addresses)


def _addresses(host: str, port: int) -> list[Address]:
    """What the name leads to; nothing when that takes longer than a connection may. The lookup itself cannot be broken off."""
    found: list[Any] = []

    def look_up() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    return [ip_address(str(entry[4][0])) for entry in [*found]]


def _may_dial(address: Address, port: int) -> bool:
    """Public ones on the web's own ports; besides, what the operator has allowed for receivers in their own network."""
    if _inside(address, [ip_network(network) for network in settings.WEBHOOK_PRIVATE_NETWORKS]):
        return True
    return port in _PORTS.values() and is_allowed(address)


def _inside(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _authority(scheme: str, host: str, port: int) -> str:
    return _bracketed(host) if _PORTS[scheme] == port else f"{_bracketed(host)}:{port}"


def _named(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _first_bytes(pieces: Iterable[bytes]) -> bytes:
    kept = b""
    for piece in pieces:
        kept += piece[: KEPT_BYTES - len(kept)]
        if len(kept) >= KEPT_BYTES:
            break
    return kept
