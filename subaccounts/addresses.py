"""Names and links of workspaces: which slugs may be had, and where a workspace is found."""

import re

from django.conf import settings
from django.db import connection
from django.utils.text import slugify

from agency.models import Agency
from kit import clock
from kit.refusal import Refusal
from subaccounts.models import Invitation, KeptSlug, SubAccount

SLUG_LENGTH = 40
_KEPT_FOR_OURSELVES = """
about abuse access account accounts admin administrator agency agencies api app apps assets auth autoconfig autodiscover beta
billing blog business calendar careers cdn chat client clients cname community contact dashboard demo dev developer developers dns
docs domain domains email example files ftp git help home hostmaster images imap info internal invite invoice isatap jobs legal
localdomain localhost login logout mail mailer-daemon mailbox marketing media metrics mobile monitor mx news no-reply noreply ns
ns1 ns2 ns3 ns4 oauth office operations partner partners password payment payments platform pop pop3 postmaster press pricing
privacy production proxy public register root sales sandbox search secure security server shop sign-in sign-out sign-up signin
signup smtp sso staff staging static statistics stats status store stripe support system team terms test tls tracking trust
unsubscribe user users vpn web webhook webhooks webmail webmaster widget workspace wpad www www1 www2
"""
RESERVED = frozenset(_KEPT_FOR_OURSELVES.split())
_SHAPE = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


class BadSlug(Refusal):
    """The wished web address cannot be one; the message says why."""

    code = "bad_slug"


class SlugTaken(Refusal):
    code = "slug_taken"
    status = 409


def check_slug(slug: str) -> None:
    """Raises `BadSlug` when `slug` could never be a web address here, `SlugTaken` when somebody has it or was promised it.

    Until the transaction ends, whoever else asks for this very one waits.
    """
    if len(slug) < 3 or len(slug) > SLUG_LENGTH:
        raise BadSlug(f"A web address has between 3 and {SLUG_LENGTH} characters.")
    if not _SHAPE.fullmatch(slug) or "--" in slug:
        raise BadSlug("Use small letters, digits and single hyphens between them, for instance acme-plumbing.")
    if is_reserved(slug):
        raise BadSlug(f"“{slug}” is kept for the platform itself. Choose another web address.")
    _hold(slug)
    if is_taken(slug):
        raise SlugTaken(f"The web address “{slug}” is taken. Choose another one; nothing was opened.")


def is_reserved(slug: str) -> bool:
    """Whether the platform keeps the name for itself; the staff's host is one of them, whatever it is called."""
    return slug in RESERVED or slug == slugify(settings.PLATFORM_NAME) or f"{slug}.{settings.BASE_DOMAIN}" == settings.STAFF_HOST


def is_taken(slug: str) -> bool:
    """Whether a workspace or an agency has it, or an open invitation promises it."""
    return bool(_taken_of([slug]))


def _taken_of(slugs: list[str]) -> set[str]:
    return {
        *SubAccount.objects.filter(slug__in=slugs).values_list("slug", flat=True),
        *Agency.objects.filter(slug__in=slugs).values_list("slug", flat=True),
        *Invitation.objects.open().opening().filter(opens__slug__in=slugs).values_list("opens__slug", flat=True),
        *KeptSlug.objects.filter(slug__in=slugs, until__gt=clock.now()).values_list("slug", flat=True),
    }


def _hold(slug: str) -> None:
    """An invitation is no row of the table whose column is unique, so asking and taking have to be one step."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('slug ' || %s, 0))", [slug])


def suggest_slug(name: str) -> str:
    """A free web address made of a business name, or an empty text when nothing can be made of it."""
    base = _shortened(re.sub("-+", "-", slugify(name).replace("_", "-")).strip("-"))
    if len(base) < 3:
        return ""
    candidates = [base, *(f"{base}-{number}" for number in range(2, 100))]
    taken = _taken_of(candidates)
    return next((slug for slug in candidates if slug not in taken and not is_reserved(slug)), "")


def _shortened(slug: str) -> str:
    """As many whole words as leave room for a number behind them."""
    most = SLUG_LENGTH - len("-99")
    if len(slug) <= most:
        return slug
    return slug[: most + 1].rpartition("-")[0] or slug[:most]


def host_name(slug: str) -> str:
    """The host name of a workspace on the platform's own domain, without a port."""
    return f"{slug}.{settings.BASE_DOMAIN.partition(':')[0]}"


def own_host(sub_account: SubAccount) -> str:
    """The workspace's host on the platform's own domain, as browsers send it: with the port where there is one."""
    return f"{sub_account.slug}.{settings.BASE_DOMAIN}"


def own_url(sub_account: SubAccount, path: str = "/") -> str:
    """A link into the workspace on the platform's own domain; agency people enter only there."""
    return f"{settings.SCHEME}://{own_host(sub_account)}{path}"


def primary_url(sub_account: SubAccount, path: str = "") -> str:
    """A link for the workspace's own people: its stored primary domain, never the `Host` of a request."""
    domain = sub_account.domains.order_by("-is_primary", "id").first()
    if domain is None:
        return own_url(sub_account, path)
    _, colon, port = settings.BASE_DOMAIN.partition(":")
    return f"{settings.SCHEME}://{domain.domain}{colon}{port}{path}"


def platform_url(path: str = "/") -> str:
    return f"{settings.SCHEME}://{settings.BASE_DOMAIN}{path}"


def staff_url(path: str = "/") -> str:
    """A link for the operator's own people, on their own host."""
    return f"{settings.SCHEME}://{settings.STAFF_HOST}{path}"
