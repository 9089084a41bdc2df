"""Every deed the audit log knows: in words, of which kind, and whether a client reads it in the log of its own workspace."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import models

from agency.access import CLIENT_ROLES
from agency.models import AuditRecord


class Kind(models.TextChoices):
    MONEY = "money", "Credits and prices"
    SUB_ACCOUNTS = "sub_accounts", "Sub-accounts"
    ACCESS = "access", "People and access"
    SECURITY = "security", "Sign-in and security"
    ASSISTS = "assists", "Assists"
    API = "api", "API and webhooks"
    WORKSPACE = "workspace", "Work in a workspace"
    AGENCY = "agency", "Agency settings"
    LOG = "log", "Audit log"
    OTHER = "other", "Other"


EVERYTHING = frozenset({"*"})
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Deed:
    """`words` follow the name of who did it. `told` are the fields of the difference that the client reads, None when it does not
    read the record at all.

    A record that must be told only sometimes names a field of the difference and the values at which it is (`told_when`); with
    `told_if_touched` it is told only when one of the told fields is among those that changed.
    """

    words: str
    kind: Kind
    told: frozenset[str] | None = None
    told_when: tuple[str, tuple[str, ...]] | None = None
    told_if_touched: bool = False


def _of(kind: Kind, deeds: Mapping[str, str], told: frozenset[str] | None = None) -> dict[str, Deed]:
    return {action: Deed(words, kind, told) for action, words in deeds.items()}


_CONTACT = frozenset({"name", "contact_first_name", "contact_last_name", "contact_email", "business_name", "city", "state", "postal_code"})
_CLIENT_ROLES = tuple(role.value for role in CLIENT_ROLES)

DEEDS: dict[str, Deed] = {
    **_of(
        Kind.MONEY,
        {
            "credits.allocated": "moved {subject} out of the pool",
            "credits.reclaimed": "took back {subject}",
            "credits.moved": "moved {subject}",
            "credits.adjusted": "adjusted the {subject}",
            "prices.changed": "changed the prices of {subject}",
            "pool_policy.changed": "changed what {subject} may use of the pool",
            "plan.chosen": "chose the {subject} plan",
            "deal.added": "agreed on a rate: {subject}",
            "deal.changed": "changed an agreed rate: {subject}",
            "deal.deleted": "ended an agreed rate: {subject}",
            "rate.changed": "changed the platform's rate {subject}",
            "unit.added": "added the unit {subject}",
            "unit.changed": "changed the unit {subject}",
            "unit.deleted": "deleted the unit {subject}",
            "books.audit_asked": "asked for an audit of the books",
        },
    ),
    # The agency's own alert about a client is the agency's matter, the client's own is the client's; the numbers are balances' kin.
    "credit_alert.changed": Deed("changed the credit alert of {subject}", Kind.MONEY, NOTHING, ("audience", ("client",))),
    **_of(
        Kind.SUB_ACCOUNTS,
        {
            "sub_account.opened": "opened {subject}",
            "sub_account.suspended": "suspended {subject}",
            "sub_account.restored": "restored {subject}",
        },
        told=frozenset({"slug", "policy", "note"}),
    ),
    "sub_account.edited": Deed("changed the details of {subject}", Kind.SUB_ACCOUNTS, _CONTACT, told_if_touched=True),
    # Whom of its own team the agency lets in is its own matter; the client reads of its own people, wherever they were let in.
    **{
        action: Deed(words, Kind.ACCESS, frozenset({"role", "until"}), ("role", _CLIENT_ROLES))
        for action, words in {
            "access.granted": "gave access to {subject}",
            "access.role_changed": "changed the role of {subject}",
            "access.taken": "took the access of {subject} away",
            "invitation.sent": "invited {subject}",
            "invitation.sent_again": "sent the invitation to {subject} again",
            "invitation.revoked": "took the invitation to {subject} back",
            "invitation.expired": "let the invitation to {subject} run out",
            "invitation.accepted": "accepted the invitation to {subject}",
        }.items()
    },
    "join.refused": Deed("was refused entry to {subject} with an invitation's link", Kind.ACCESS, frozenset({"cause"})),
    **_of(
        Kind.ACCESS,
        {
            "access.limited": "ended the access of {subject} to all sub-accounts, those to come included",
            "member.joined": "added {subject} to the team",
            "user.address_changed": "changed the sign-in address of {subject}",
            "user.removed": "removed {subject}",
            "user.role_changed": "changed the role of {subject}",
            "ownership.offered": "offered the ownership of {subject}",
            "ownership.transferred": "took over the ownership of {subject}",
            "ownership.declined": "declined the ownership of {subject}",
            "ownership.withdrawn": "took the offer of the ownership of {subject} back",
            "ownership.expired": "let the offer of the ownership of {subject} run out",
            "staff.made": "made {subject} staff",
        },
    ),
    **_of(
        Kind.API,
        {
            "api_key.made": "made the API key {subject}",
            "api_key.revoked": "revoked the API key {subject}",
            "webhook.added": "added the webhook endpoint {subject}",
            "webhook.changed": "changed the webhook endpoint {subject}",
            "webhook.removed": "removed the webhook endpoint {subject}",
            "webhook.replayed": "sent events again to {subject}",
            "webhook.secret_rotated": "made a new secret for {subject}",
            "webhook.switched_off": "switched the webhook endpoint {subject} off",
            "webhook.switched_on": "switched the webhook endpoint {subject} on",
            "webhook.tested": "tested the webhook endpoint {subject}",
        },
        told=EVERYTHING,
    ),
    **_of(
        Kind.ASSISTS,
        {
            "assist.begun": "entered the workspace of {subject}",
            "assist.ended": "left the workspace of {subject}",
            "assist.stopped": "ended an assist at {subject}",
            "assist.refused": "was refused entry to the workspace of {subject}",
            "assist_mails.changed": "changed whether {subject} gets mails about assists",
        },
        told=EVERYTHING,
    ),
    **_of(
        Kind.SECURITY,
        {
            "person.signed_up": "signed up",
            "person.second_factor_added": "added a second factor to their sign-in",
            "person.second_factor_removed": "removed a second factor of their sign-in",
            "person.recovery_codes_made": "made new recovery codes",
            "person.password_reset": "reset their password",
            "person.password_changed": "changed their password",
            "person.password_set": "chose a password of their own",
            "person.email_changed": "changed their e-mail address",
            "person.second_factor_reset": "took the second factors of {subject} away, who had lost them",
            "person.session_ended": "ended one of their sessions",
            "person.sessions_ended": "ended their other sessions",
            "session.refused": "had a copied session refused",
            "agency.second_factor_policy_changed": "changed who needs a second factor",
        },
    ),
    **_of(
        Kind.WORKSPACE,
        {
            "chatbot.created": "made the chatbot {subject}",
            "chatbot.changed": "changed the chatbot {subject}",
            "chatbot.removed": "removed the chatbot {subject}",
            "faq.added": "added the FAQ “{subject}”",
            "faq.changed": "changed the FAQ “{subject}”",
            "faq.deleted": "deleted the FAQ “{subject}”",
            "faq_import.checked": "checked FAQs from {subject}",
            "faq_import.confirmed": "imported FAQs from {subject}",
            "faq_import.cancelled": "cancelled the import of {subject}",
            "conversation.answered": "answered {subject}",
            "conversation.status_set": "took care of {subject}",
            "lead.handled": "ticked off the lead {subject}",
            "workspace.settings_changed": "changed the workspace's settings",
            "assist_mails.changed": "chose whether assists are told by e-mail",
        },
        told=EVERYTHING,
    ),
    **_of(
        Kind.API,
        {
            "webhook.added": "added the webhook endpoint {subject}",
            "webhook.changed": "changed the webhook endpoint {subject}",
            "webhook.secret_rotated": "made a new secret for the webhook endpoint {subject}",
            "webhook.switched_off": "switched the webhook endpoint {subject} off",
            "webhook.switched_on": "switched the webhook endpoint {subject} on",
            "webhook.removed": "removed the webhook endpoint {subject}",
            "webhook.tested": "sent a test to the webhook endpoint {subject}",
            "webhook.replayed": "sent events to the webhook endpoint {subject} again",
        },
        told=EVERYTHING,
    ),
    **_of(Kind.WORKSPACE, {"workspace.daily_replies": "counted {subject}"}),
    **_of(
        Kind.AGENCY,
        {
            "agency.opened": "opened the agency",
            "agency.changed": "changed the agency's settings",
            "agency.deleted": "deleted the agency {subject}",
            "agency.restored": "restored the agency {subject}",
            "agency.purged": "removed for good what the agency {subject} had",
            "alert_rules.changed": "changed who gets alerts and what counts as unusual use",
        },
    ),
    "alerts.changed": Deed("chose which alerts reach {subject}", Kind.AGENCY, EVERYTHING),
    **_of(
        Kind.LOG,
        {
            "audit.exported": "exported the audit log: {subject}",
            "audit.kept_changed": "changed how long the audit log is kept",
            "audit.forgotten": "removed audit records that were past their time: {subject}",
        },
    ),
    "audit.exported_by_client": Deed("exported the audit log of {subject}", Kind.LOG, EVERYTHING),
}


def kind_of(action: str) -> Kind:
    return DEEDS[action].kind if action in DEEDS else Kind.OTHER


def actions_of(kind: str) -> list[str]:
    return [action for action, deed in DEEDS.items() if deed.kind == kind]


def in_words(record: AuditRecord) -> str:
    """What was done, to follow the name of who did it: "suspended Acme Plumbing". A deed nobody put into words is told by its name."""
    deed = DEEDS.get(record.action)
    if deed is not None:
        return deed.words.format(subject=record.subject)
    noun, _, verb = record.action.replace("_", " ").partition(".")
    return " ".join(part for part in (f"{noun} {verb}".strip() + (":" if record.subject else ""), record.subject) if part)


def who(record: AuditRecord) -> str:
    """The name of who did it, without an address."""
    return record.actor_label.partition(" <")[0]
