"""What the frame of every page needs: whose place this is, where one may go, what governs the whole page.

Nothing is computed until a template asks, so a page without the frame costs no query.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import F
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from agency import notices
from agency.access import Can, Role
from agency.models import Agency
from agency.notices import Reader
from credits.models import Wallet
from kit import clock
from kit.units import in_words
from subaccounts import inbox, switching
from subaccounts.middleware import ways_back
from subaccounts.models import Access, Assist, SubAccount
from whitelabel.resolve import Brand, brand_for

# Asked for each row of a list: the enumeration's own look-ups cost more than the row.
CAPABILITY = {can.value: can for can in Can}

ASSIST_URGENT_SECONDS = 300
MANY_ACCOUNTS = 7  # more than these are found faster by typing
TRIAL_WARNING_DAYS = 14
TRIAL_URGENT_DAYS = 3

# Name, icon, url name, what it takes to see it.
Row = tuple[str, str, str, Can]

AGENCY_SECTIONS: tuple[Row, ...] = (
    ("Home", "home", "agency_home", Can.SEE_AGENCY),
    ("Notices", "bell", "notices", Can.SEE_AGENCY),
    ("Sub-accounts", "building-office-2", "sub_account_list", Can.SEE_AGENCY),
    ("Users", "users", "user_list", Can.MANAGE_TEAM),
    ("Credits", "circle-stack", "credits_home", Can.SEE_CREDITS),
    ("API & webhooks", "code-bracket", "api_keys", Can.MANAGE_API),
    ("Plan", "credit-card", "plan", Can.MANAGE_PLAN),
    ("Audit log", "clipboard-document-list", "audit_log", Can.SEE_AUDIT),
    ("Settings", "cog-6-tooth", "agency_settings", Can.MANAGE_AGENCY),
)
WORKSPACE_SECTIONS: tuple[Row, ...] = (
    ("Home", "home", "workspace_home", Can.SEE_WORKSPACE),
    ("Notices", "bell", "notices", Can.SEE_WORKSPACE),
    ("Inbox", "inbox", "conversation_list", Can.SEE_WORKSPACE),
    ("Leads", "user-plus", "lead_list", Can.SEE_WORKSPACE),
    ("Chatbots", "chat-bubble-left-right", "chatbot_list", Can.SEE_WORKSPACE),
    ("Credits", "circle-stack", "workspace_credits", Can.SEE_WORKSPACE),
    ("Usage", "chart-bar", "workspace_usage", Can.SEE_WORKSPACE),
    ("People", "users", "colleague_list", Can.MANAGE_WORKSPACE),
    ("Audit log", "clipboard-document-list", "workspace_audit", Can.MANAGE_WORKSPACE),
    ("API & webhooks", "code-bracket", "api_keys", Can.MANAGE_WORKSPACE),
    ("Settings", "cog-6-tooth", "workspace_settings", Can.MANAGE_WORKSPACE),
)
# Pages that belong to a row and whose addresses do not begin with its.
BESIDE: dict[str, tuple[str, ...]] = {
    "api_keys": ("webhook_list",),
    "workspace_credits": ("workspace_usage",),  # where there are balances, usage is one of their tabs
    "agency_settings": ("assist_list", "ownership", "agency_deletion"),
}
STAFF_SECTIONS = (("Staff admin", "building-library", "admin:index"),)
PERSON_LINKS = (
    ("Sign-in and security", "shield-check", "mfa_index"),
    ("Password", "key", "account_change_password"),
    ("E-mail address", "envelope", "account_email"),
    ("Sessions", "computer-desktop", "usersessions_list"),
    ("Sign-in history", "clock", "sign_ins"),
)


@dataclass(frozen=True)
class Link:
    name: str
    url: str
    icon: str
    is_current: bool = False
    count: str = ""


@dataclass(frozen=True)
class Place:
    """Whose pages these are: an agency's or one sub-account's."""

    name: str
    line: str
    is_sub_account: bool


@dataclass(frozen=True)
class Banner:
    """A line above everything. `is_locked`: no brand's CSS can hide it. `countdown`: how `until` comes nearer, and what then."""

    label: str
    tone: str
    icon: str
    text: str
    until: datetime | None = None
    action: str = ""
    action_url: str = ""
    is_post: bool = False
    is_locked: bool = False
    countdown: "Countdown | None" = None


@dataclass(frozen=True)
class Countdown:
    """What is left of an assist when the page is made. From `urgent_seconds` on the person is asked to finish."""

    seconds: int
    again_url: str
    urgent_seconds: int = ASSIST_URGENT_SECONDS

    @property
    def is_urgent(self) -> bool:
        return self.seconds <= self.urgent_seconds


class May:
    """`{% if can.manage_team %}`: what this person may do here. An unknown capability is a mistake and raises."""

    def __init__(self, capabilities: frozenset[Can]) -> None:
        self.capabilities = capabilities

    def __getitem__(self, name: str) -> bool:
        if name not in CAPABILITY:
            raise LookupError(f"there is no capability {name!r}")
        return CAPABILITY[name] in self.capabilities


class Frame:
    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.site = getattr(request, "site", None)
        self.agency: Agency | None = getattr(request, "agency", None)
        self.capabilities: frozenset[Can] = getattr(request, "capabilities", frozenset())
        self.assist: Assist | None = getattr(request, "assist", None)
        self.sub_account: SubAccount | None = getattr(self.site, "sub_account", None)

    @property
    def site_kind(self) -> str:
        return self.site.kind if self.site else "platform"

    @cached_property
    def brand(self) -> Brand:
        return brand_for(self.site)

    # --- the person

    @property
    def person(self) -> Any:
        user = getattr(self.request, "user", None)
        return user if user and user.is_authenticated else None

    @property
    def person_name(self) -> str:
        return self.person.name if self.person else ""

    @property
    def person_email(self) -> str:
        return self.person.email if self.person else ""

    @cached_property
    def role(self) -> str:
        """What the person is here, in words."""
        membership = getattr(self.request, "membership", None)
        if membership:
            return Role(membership.role).label
        if self.assist:
            return "Assisting"
        if self.sub_account and self.person:
            access = Access.objects.filter(sub_account=self.sub_account, user=self.person).first()
            return access.get_role_display() if access else ""
        return ""

    @cached_property
    def person_links(self) -> list[Link]:
        return self._links(PERSON_LINKS)

    # --- the place

    @property
    def place(self) -> Place:
        if self.sub_account:
            return Place(self.sub_account.name, "Workspace", is_sub_account=True)
        if self.agency:
            return Place(self.agency.name, f"{self.agency.plan.name} plan", is_sub_account=False)
        return Place(self.brand.name, "Staff" if self.site_kind == "staff" else "", is_sub_account=False)

    @property
    def agency_name(self) -> str:
        return self.agency.name if self.agency else ""

    @cached_property
    def sections(self) -> list[Link]:
        """Only pages that exist and that this person may open; the longest address that leads here is the current one."""
        if self.site_kind == "staff":
            return self._links(STAFF_SECTIONS)
        rows = self._workspace_rows() if self.sub_account else AGENCY_SECTIONS
        links = self._links((name, icon, url_name) for name, icon, url_name, can in rows if can in self.capabilities)
        return [replace(link, count=self.unread_figure) if link.url == self.notices_url and self.unread else link for link in links]

    def _workspace_rows(self) -> list[Row]:
        """A client that sees its balances has Credits, its usage among them; another has Usage."""
        if not self.sub_account or not self.capabilities:
            return []
        absent = "workspace_usage" if self.sub_account.shows_balance else "workspace_credits"
        return [row for row in WORKSPACE_SECTIONS if row[2] != absent]

    def _links(self, rows: Iterable[tuple[str, str, str]]) -> list[Link]:
        known = [(name, icon, url_name, self._url(url_name)) for name, icon, url_name in rows if self._url(url_name)]
        current = max((url for _, _, url_name, url in known if self._leads_here(url_name, url)), key=len, default="")
        return [Link(name, url, icon, url == current) for name, icon, _, url in known]

    def _leads_here(self, url_name: str, url: str) -> bool:
        here = self.request.path
        if here == url or (url != "/" and here.startswith(url)):
            return True
        beside = [self._url(name) for name in BESIDE.get(url_name, ())]
        return any(here.startswith(other) for other in beside if other)

    # --- the bell

    @property
    def notices_url(self) -> str:
        return self._url("notices")

    @cached_property
    def unread(self) -> int:
        """How many notices this person has not read here, `notices.COUNTED` at most. One query."""
        if not self.person or not self.agency:
            return 0
        membership = getattr(self.request, "membership", None)
        if self.sub_account:
            reader = Reader(self.person, self.agency, self.sub_account.public_id)
            return notices.count_unread(inbox.of_client(self.sub_account), reader) if Can.SEE_WORKSPACE in self.capabilities else 0
        return notices.count_unread(inbox.of_member(membership), Reader(self.person, self.agency)) if membership else 0

    @property
    def unread_figure(self) -> str:
        return f"{notices.COUNTED - 1}+" if self.unread >= notices.COUNTED else str(self.unread)

    # --- the switcher

    @cached_property
    def has_switcher(self) -> bool:
        """An agency's team always, a client with more than one sub-account. From an assist it leads back and nowhere else."""
        if self.assist:
            return True
        if self.sub_account:
            return len(self.accounts) > 1
        return Can.ENTER_SUB_ACCOUNTS in self.capabilities

    @property
    def home_url(self) -> str:
        return self._url("agency_home") if self.agency and not self.sub_account else ""

    @property
    def return_url(self) -> str:
        """Where an assisting person posts to go back to the agency."""
        return self._url("assist_return") if self.assist else ""

    @property
    def again_url(self) -> str:
        """Where an assisting person begins a new assist: on the agency's host, by the whole way again."""
        return ways_back(self.sub_account)["again_url"] if self.assist and self.sub_account else ""

    @property
    def has_many_accounts(self) -> bool:
        return len(self.accounts) > MANY_ACCOUNTS

    @property
    def all_accounts_url(self) -> str:
        return self._url("sub_account_list") if not self.sub_account and len(self.accounts) >= switching.SHOWN else ""

    @cached_property
    def accounts(self) -> list[switching.Account]:
        """The sub-accounts this person may go to from here, the recently entered first."""
        if self.assist and self.sub_account:
            return [switching.Account(self.sub_account.name, self._url("workspace_home"), is_link=True, is_current=True)]
        if not self.person:
            return []
        return switching.accounts_for(self.person, getattr(self.request, "membership", None), current=self.sub_account)

    # --- the palette

    @property
    def search(self) -> Link | None:
        """Where the palette looks for what it does not list itself: a page that takes `?q=`."""
        if self.sub_account:
            name, url_name, can = "Search the inbox", "conversation_list", Can.SEE_WORKSPACE
        else:
            name, url_name, can = "Search sub-accounts", "sub_account_list", Can.SEE_AGENCY
        url = self._url(url_name) if can in self.capabilities else ""
        return Link(name, url, "magnifying-glass") if url else None

    # --- banners

    @cached_property
    def banners(self) -> list[Banner]:
        if not self.person:
            return []
        return [banner for banner in (self._assisting(), self._suspended(), self._offered(), self._trial(), self._low_pool()) if banner]

    def _assisting(self) -> Banner | None:
        if not self.assist or not self.sub_account:
            return None
        text = f"You are working in {self.sub_account.name} as {self.person_name}. Everything you change is recorded. This ends"
        left = max(0, math.ceil((self.assist.expires_at - clock.now()).total_seconds()))
        return Banner(
            "Assisting", "assist", "lifebuoy", text, until=self.assist.expires_at,
            action=f"Return to {self.agency_name}", action_url=self.return_url, is_post=True, is_locked=True,
            countdown=Countdown(left, self.again_url),
        )  # fmt: skip

    def _suspended(self) -> Banner | None:
        suspension = self.sub_account.suspension if self.sub_account else None
        if not suspension:
            return None
        note = f" {suspension.note}" if suspension.note else ""
        return Banner(
            "Suspended",
            "warn",
            "pause-circle",
            f"This account is suspended: you can look, but nothing can be changed.{note}",
            is_locked=True,
        )

    def _offered(self) -> Banner | None:
        membership = getattr(self.request, "membership", None)
        if self.sub_account or not getattr(membership, "is_offered", False):
            return None
        text = f"You are offered the ownership of {self.agency_name}."
        return Banner("Ownership", "neutral", "key", text, action="Take it or decline", action_url=self._url("ownership_offer"))

    def _trial(self) -> Banner | None:
        if self.sub_account or not self.agency or Can.MANAGE_PLAN not in self.capabilities:
            return None
        days = self.agency.trial_days_left
        if days is None or days > TRIAL_WARNING_DAYS:
            return None
        text = f"{days} {'day' if days == 1 else 'days'} left in your trial." if days else "Your trial is over."
        return Banner(
            "Trial", "neutral" if days > TRIAL_URGENT_DAYS else "warn", "clock", text, action="See plans", action_url=self._url("plan")
        )

    def _low_pool(self) -> Banner | None:
        if self.sub_account or not self.agency or Can.SEE_CREDITS not in self.capabilities:
            return None
        low = Wallet.objects.filter(owner_kind=Wallet.AGENCY, owner_id=self.agency.public_id, balance__lt=F("low_at"))
        pool = low.select_related("unit").order_by("unit__position").first()
        if pool is None:
            return None
        text = f"Your pool is low: {in_words(pool.balance, pool.unit)} left. What nothing can pay for stops."
        return Banner("Low credits", "warn", "exclamation-triangle", text, action="See credits", action_url=self._url("credits_home"))

    def _url(self, name: str, *args: object) -> str:
        """The address of a page of this host, or an empty text when it has none of that name."""
        try:
            return reverse(name, args=args)
        except NoReverseMatch:
            return ""


def frame(request: HttpRequest) -> dict[str, Any]:
    return {"frame": Frame(request), "can": May(getattr(request, "capabilities", frozenset()))}
