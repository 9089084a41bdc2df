"""Which brand a person sees: for a host, a workspace, an e-mail."""

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol

from django.conf import settings
from django.urls import reverse

from subaccounts.models import SubAccount
from whitelabel.theme import PLATFORM_ACCENT, Theme, theme


class Site(Protocol):
    """What a request's host resolved to, as far as a brand depends on it."""

    @property
    def kind(self) -> str: ...

    @property
    def sub_account(self) -> SubAccount | None: ...


@dataclass(frozen=True)
class Brand:
    """What a person sees instead of the platform's name and colour. `accent` is `#rrggbb`."""

    name: str
    accent: str = PLATFORM_ACCENT

    @property
    def theme(self) -> Theme:
        return theme(self.accent)

    @property
    def css(self) -> str:
        return self.theme.css()

    @property
    def css_hash(self) -> str:
        return sha256(self.css.encode()).hexdigest()[:12]

    @property
    def css_url(self) -> str:
        """Where its colours are served; empty for the platform's, which app.css already has."""
        if self.accent == PLATFORM_ACCENT:
            return ""
        return f"{reverse('brand_css')}?v={self.css_hash}"

    def with_accent(self, accent: str) -> "Brand":
        """This brand in another accent, for instance a chatbot's. Raises `theme.NotAColour`."""
        theme(accent)
        return replace(self, accent=accent.lower())


def platform_brand() -> Brand:
    return Brand(name=settings.PLATFORM_NAME, accent=settings.PLATFORM_ACCENT)


def brand_for(site: Site | None) -> Brand:
    """The brand of one host. A white-labelled workspace wears its agency's name, every other host the platform's."""
    if site is not None and site.sub_account is not None and site.sub_account.is_white_label:
        return Brand(name=site.sub_account.agency.name, accent=settings.PLATFORM_ACCENT)
    return platform_brand()
