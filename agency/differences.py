"""What a record says was there before and after, as a person reads it: labels, units, dates and words instead of names and codes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from agency.access import Role
from agency.deeds import DEEDS, EVERYTHING
from agency.models import AuditRecord, Category
from credits import rates
from credits.models import Unit
from kit.units import in_words

NOTHING = "–"
LABELS = {
    "accent": "Colour",
    "allowed_websites": "Allowed websites",
    "assists_need_reason": "Assists need a reason",
    "audience": "Who is told",
    "audit_kept_days": "Audit log kept",
    "balance_visibility": "Balance shown to the client",
    "by_mail": "by e-mail",
    "clients": "Clients",
    "event_types": "Events",
    "former_signs_until": "The former secret signs until",
    "how": "How it ended",
    "networks": "From these networks only",
    "notify_of_assists": "Mails about assists",
    "prefix": "Begins with",
    "reach": "Where",
    "sub_accounts": "Sub-accounts",
    "team": "Team",
    "to": "To",
    "url": "Address",
    "cause": "Why",
    "clients_need_mfa": "Clients need a second factor",
    "collects_leads": "Asks for contact details",
    "contact_email": "Contact's e-mail",
    "contact_first_name": "Contact's first name",
    "contact_last_name": "Contact's last name",
    "destination": "Balance where it arrived",
    "fallback_text": "When it does not know",
    "from_pool": "Taken from the pool",
    "in_app": "in the inbox",
    "is_active": "Switched on",
    "is_hard": "Stops at the limit",
    "is_primary": "Agency's own",
    "is_superuser": "May do everything",
    "kind": "Kind",
    "low_at": "Alert below",
    "own": "Client's own balance",
    "pool": "Agency's pool",
    "pool_fallback": "Use of the pool",
    "records": "Records",
    "slug": "Web address",
    "source": "Balance where it left",
    "spike_factor": "Unusual is more than … times the usual",
    "spike_least": "Unusual is at least",
    "team_needs_mfa": "The team needs a second factor",
    "unavailable_message": "When nothing can be answered",
    "until": "Until",
}
_ROLES = {role.value: role.label for role in Role}
CODES: dict[str, dict[str, str]] = {
    "role": {**_ROLES, "member": "Agency Member"},
    "audience": {"agency": "The agency", "client": "The client"},
    "kind": {"totp": "Authenticator app", "webauthn": "Passkey", "recovery_codes": "Recovery codes"},
    "status": {"bot": "The chatbot answers", "person": "A person answers", "closed": "Closed"},
    "pool_fallback": {"on": "Without a limit", "capped": "Up to a limit", "off": "None"},
    "balance_visibility": {"by_mode": "As the credit mode says", "shown": "Shown", "hidden": "Hidden"},
}
# Codes that are words already, once their underscores are gone.
SPELLED = frozenset({"policy", "reason", "plan", "tone", "state", "cause", "scope"})
# Smallest steps of the record's own unit.
AMOUNTS = frozenset({"amount", "balance", "change", "destination", "from_pool", "low_at", "own", "pool", "received", "source", "taken"})
# Said by the figures beside it, or by a link.
UNSAID = frozenset({"unit", "assist"})
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})")


@dataclass(frozen=True)
class Change:
    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """`has_before` and `has_after` say which of the two columns has anything in it."""

    changes: list[Change]
    has_before: bool = False
    has_after: bool = False


@dataclass
class Reader:
    """Reads the differences of one log: in the agency's time zone, all of them or only what its client is told."""

    zone: str
    is_client: bool = False

    def __post_init__(self) -> None:
        self.units = {unit.code: unit for unit in Unit.objects.all()}

    def read(self, record: AuditRecord) -> Difference:
        before, after = (self._flat(self._told(record, side)) for side in (record.before, record.after))
        unit = self.units.get(str(after.get("unit") or before.get("unit") or ""))
        names = [name for name in dict.fromkeys([*before, *after]) if name not in UNSAID]
        changes = [
            Change(self._label(name), self._said(name, before.get(name), unit), self._said(name, after.get(name), unit)) for name in names
        ]
        return Difference(changes, bool(before), bool(after))

    def _told(self, record: AuditRecord, side: dict[str, Any]) -> dict[str, Any]:
        if not self.is_client:
            return side
        deed = DEEDS.get(record.action)
        told = deed.told if deed and deed.told else frozenset()
        return side if told == EVERYTHING else {name: value for name, value in side.items() if name in told}

    def _flat(self, side: Mapping[str, Any], above: str = "") -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, value in side.items():
            path = f"{above}\n{name}" if above else name
            flat |= self._flat(value, path) if isinstance(value, Mapping) and value else {path: value}
        return flat

    def _label(self, path: str) -> str:
        parts = [self._part(name) for name in path.split("\n")]
        return ", ".join(parts)

    def _part(self, name: str) -> str:
        if name in LABELS:
            return LABELS[name]
        if name in self.units:
            return self.units[name].plural.capitalize()
        if name in Category.values:
            return str(Category(name).label)
        what, _, code = name.partition(" ")
        if what == "markup" and code in self.units:
            return f"Markup on {self.units[code].plural.lower()}"
        if what == "rate" and code in rates.KINDS:
            return f"Rate of {code.replace('_', ' ')}".replace("ai ", "AI ")
        return name.replace("_", " ").replace("-", " ").strip().capitalize()

    def _said(self, path: str, value: Any, unit: Unit | None) -> str:
        name = path.rpartition("\n")[2]
        if value is None or value in ("", [], {}):
            return NOTHING
        if isinstance(value, bool):
            return "Yes" if value else "No"
        if isinstance(value, int):
            return self._number(name, value, unit)
        if isinstance(value, list):
            return ", ".join(self._said(name, one, unit) for one in value)
        return self._text(name, str(value))

    def _number(self, name: str, value: int, unit: Unit | None) -> str:
        what, _, code = name.partition(" ")
        if name in self.units:
            return in_words(value, self.units[name])
        if what == "rate" and code in rates.KINDS and rates.KINDS[code].unit in self.units:
            return in_words(value, self.units[rates.KINDS[code].unit])
        if name in AMOUNTS and unit is not None:
            return in_words(value, unit)
        return f"{value:,} days" if name.endswith("_days") else f"{value:,}"

    def _text(self, name: str, value: str) -> str:
        if name in CODES:
            return CODES[name].get(value, value)
        if name in SPELLED:
            return value.replace("_", " ").replace("-", " ").capitalize() if re.fullmatch(r"[a-z0-9_-]+", value) else value
        if name.startswith("markup "):
            return f"{value} %"
        if _MOMENT.fullmatch(value):
            moment = datetime.fromisoformat(value).astimezone(ZoneInfo(self.zone))
            return str(format_datetime(moment, "d MMM y, HH:mm", locale="en"))
        return value
