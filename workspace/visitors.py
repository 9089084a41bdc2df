"""Who is writing in the widget, without cookies: a random token in the browser, and a ticket that says it came from us.

The **token** (256 random bits, stored hashed) is the visitor's only proof of who they are; it finds their contact and so
their conversation, and no id of either is ever taken from the browser. The **ticket** is signed, good for half an hour,
for one workspace, one chatbot, one network and one token, so a script has to come back for a new one from its own address.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.core import signing
from django.db import transaction

from kit import clock
from kit.actor import Actor
from kit.refusal import Refusal
from subaccounts import figures
from subaccounts.models import SubAccount
from workspace.models import Chatbot, Contact

TICKET_SECONDS = 30 * 60
REMEMBERED = timedelta(days=180)
_SALT = "workspace.visitors.ticket"


class TicketRefused(Refusal):
    """The ticket is missing, too old, or for another workspace, chatbot, network or visitor. Fetch a new one."""

    code = "ticket_refused"
    status = 401
    default_message = "This chat was open for a long time. Please try again."


@dataclass(frozen=True, slots=True)
class Visit:
    """What a browser gets when it opens the chat. `contact` is None until the visitor has written something."""

    token: str
    ticket: str
    contact: Contact | None


def welcome(sub_account: SubAccount, chatbot: Chatbot, *, token: str, network: str) -> Visit:
    """A ticket for the visitor who holds `token`; for one we do not know, a new token. Writes nothing."""
    contact = find(token)
    if contact is None:
        token = secrets.token_urlsafe(32)
    body = _ticket_body(sub_account, chatbot, hashed(token), network)
    return Visit(token, signing.dumps(body, salt=_SALT, compress=False), contact)


def check(sub_account: SubAccount, chatbot: Chatbot, *, token: str, ticket: str, network: str) -> str:
    """The hash of `token`, proven by `ticket`. Raises `TicketRefused`."""
    try:
        body = signing.loads(ticket, salt=_SALT, max_age=TICKET_SECONDS)
    except signing.BadSignature as error:
        raise TicketRefused from error
    if body != _ticket_body(sub_account, chatbot, hashed(token), network):
        raise TicketRefused
    return hashed(token)


def find(token: str) -> Contact | None:
    if not token:
        return None
    return Contact.objects.filter(token_hash=hashed(token), last_seen_at__gte=clock.now() - REMEMBERED).first()


@transaction.atomic
def meet(sub_account: SubAccount, token_hash: str) -> Contact:
    """The contact of a proven token, made at the visitor's first words."""
    contact, is_new = Contact.objects.get_or_create(token_hash=token_hash)
    if is_new:
        figures.add(sub_account, contacts=1)
    return contact


def actor(contact: Contact, address: str = "") -> Actor:
    return Actor(kind="visitor", id=contact.public_id.hex, label=contact.label, address=address)


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _ticket_body(sub_account: SubAccount, chatbot: Chatbot, token_hash: str, network: str) -> list[str]:
    return [sub_account.public_id.hex, chatbot.public_id.hex, token_hash, network]
