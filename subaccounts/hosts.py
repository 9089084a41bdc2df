"""Which place a host name stands for: the platform, its staff's own host, one workspace, or nothing.

Answers are kept in the process for HOST_CACHE_SECONDS, so an ordinary request asks the database nothing to find its
workspace. A change of a sub-account or a domain drops the answers of its own process at commit; other processes follow
within those seconds. A version in Redis would be exact, but it is a round trip for every request and one more thing that
can be down, and whatever must be exact (suspension, access, credits) is read from the database by those who decide.
"""

import copy
import ipaddress
import re
import time
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from agency.models import Agency
from subaccounts.models import Domain, SubAccount

MAX_ANSWERS = 10_000
_HOST = re.compile(r"(?P<name>[^\s:/@\\\[\]?#,]+)(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")

_answers: dict[str, tuple[float, SubAccount | None]] = {}


@dataclass(frozen=True)
class Site:
    """What a host name stands for. `host` is the canonical one, with the port where ours has one."""

    kind: Literal["platform", "staff", "workspace"]
    host: str
    sub_account: SubAccount | None = None

    @property
    def agency(self) -> Agency | None:
        return self.sub_account.agency if self.sub_account else None

    @property
    def realm(self) -> Agency | None:
        """The agency whose clients sign in here; None on the platform's own hosts."""
        return self.agency


def canonical(host: str) -> str | None:
    """The name in a `Host` header as a domain is stored (lower case, A-labels, no port, no final dot); None when it cannot be ours."""
    match = _HOST.fullmatch(host)
    if match is None or match["port"] not in (None, *_our_ports()):
        return None
    try:
        # WSGI hands over bytes dressed as Latin-1; a browser sends A-labels already.
        name = match["name"].encode("latin-1").decode().lower().removesuffix(".").encode("idna").decode()
    except UnicodeError:
        return None
    return name if len(name) <= 253 and _NAME.fullmatch(name) and not _is_address(name) else None


def site_for(host: str) -> Site | None:
    """The site of a `Host` header, or None when it is nobody's."""
    name = canonical(host)
    if name is None:
        return None
    base, _, port = settings.BASE_DOMAIN.partition(":")
    if name == base:
        return Site("platform", settings.BASE_DOMAIN)
    if name == settings.STAFF_HOST.partition(":")[0]:
        return Site("staff", settings.STAFF_HOST)
    sub_account = _sub_account_at(name)
    return Site("workspace", f"{name}:{port}" if port else name, sub_account) if sub_account else None


def without_www(host: str) -> str | None:
    """The canonical host to go to from `www.` of a name that is ours, or None."""
    name = canonical(host) or ""
    site = site_for(name.removeprefix("www.")) if name.startswith("www.") else None
    return site.host if site else None


def forget() -> None:
    """Drop every answer this process keeps."""
    _answers.clear()


@receiver((post_save, post_delete), sender=SubAccount)
@receiver((post_save, post_delete), sender=Domain)
@receiver(post_save, sender=Agency)
def _forget_at_commit(**_: Any) -> None:
    transaction.on_commit(forget)


def _sub_account_at(name: str) -> SubAccount | None:
    until, found = _answers.get(name, (0.0, None))
    if until < time.monotonic():
        found = _ask(name)
        if len(_answers) >= MAX_ANSWERS:
            forget()
        _answers[name] = (time.monotonic() + settings.HOST_CACHE_SECONDS, found)
    return _own_copy(found) if found else None


def _ask(name: str) -> SubAccount | None:
    domain = Domain.objects.select_related("tenant__agency__plan").filter(domain=name, tenant__status=SubAccount.READY).first()
    return domain.tenant if domain else None


def _own_copy(sub_account: SubAccount) -> SubAccount:
    # A form may write into the objects of its request before it finds out that it is not valid.
    mine = copy.copy(sub_account)
    mine.agency = copy.copy(sub_account.agency)
    return mine


def _our_ports() -> tuple[str, ...]:
    port = settings.BASE_DOMAIN.partition(":")[2]
    return (port,) if port else ("80", "443")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
