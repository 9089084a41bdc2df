"""What an agency and each of its clients have chosen about alerts: which, by which way, to whom."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from agency import audit
from agency.access import Role
from agency.models import Agency, AlertChannel, AlertRules, Category, Membership
from kit.actor import Actor


@dataclass(frozen=True)
class Channel:
    by_mail: bool = True
    in_app: bool = True


def rules_of(agency: Agency) -> AlertRules:
    """What was chosen, or the defaults in a row that is not stored."""
    return AlertRules.objects.filter(agency=agency).first() or AlertRules(agency=agency)


def channels_of(agency: Agency, sub_account_id: UUID | None = None) -> dict[str, Channel]:
    """Every category's ways; without `sub_account_id` those of the agency's team."""
    chosen = AlertChannel.objects.filter(agency=agency, sub_account_id=sub_account_id)
    return dict.fromkeys(Category.values, Channel()) | {row.category: Channel(row.by_mail, row.in_app) for row in chosen}


def chosen_recipients(agency: Agency) -> list[Membership]:
    """Those of the team who were chosen and are still there; empty where it goes by the default."""
    return list(Membership.objects.filter(pk__in=AlertRules.recipients.through.objects.filter(alertrules=agency.pk).values("membership")))


def recipients_of(agency: Agency) -> list[Membership]:
    """Who of the team is mailed: whoever was chosen, otherwise the Owner and the Admins. Never nobody."""
    chosen = [member.pk for member in chosen_recipients(agency)]
    team = Membership.objects.filter(agency=agency, user__is_active=True).select_related("user").order_by("id")
    return list(team.filter(pk__in=chosen)) or list(team.filter(role__in=[Role.OWNER, Role.ADMIN]))


@transaction.atomic
def choose_channels(
    *, agency: Agency, channels: Mapping[str, Channel], by: Actor, sub_account_id: UUID | None = None, subject: str
) -> None:
    """Set the ways of the categories named; the others stay as they are."""
    before = channels_of(agency, sub_account_id)
    changed = {category: channel for category, channel in channels.items() if before[category] != channel}
    for category, channel in changed.items():
        AlertChannel.objects.update_or_create(agency=agency, sub_account_id=sub_account_id, category=category, defaults=asdict(channel))
    audit.record(
        "alerts.changed",
        by=by,
        agency=agency,
        sub_account_id=sub_account_id,
        subject=subject,
        before={category: asdict(before[category]) for category in changed},
        after={category: asdict(channel) for category, channel in changed.items()},
    )


@transaction.atomic
def choose_rules(*, agency: Agency, spike_factor: Decimal, spike_least: int, recipients: Iterable[Membership], by: Actor) -> AlertRules:
    """Set the numbers and the recipients; no recipients means the Owner and the Admins."""
    chosen = list(recipients)
    old, old_recipients = rules_of(agency), chosen_recipients(agency)
    rules, _ = AlertRules.objects.update_or_create(agency=agency, defaults={"spike_factor": spike_factor, "spike_least": spike_least})
    rules.recipients.set(chosen)
    audit.record(
        "alert_rules.changed",
        by=by,
        agency=agency,
        subject=agency.name,
        before=_facts(old, old_recipients),
        after=_facts(rules, chosen),
    )
    return rules


def _facts(rules: AlertRules, recipients: Iterable[Membership]) -> dict[str, object]:
    emails = sorted(member.user.email for member in recipients)
    return {"spike_factor": str(rules.spike_factor), "spike_least": rules.spike_least, "recipients": emails}
