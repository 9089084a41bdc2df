"""The events that can be listened to: each one is published by the deed it names."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EventType:
    """`for_clients`: a sub-account's own endpoints hear it too; `tells_balance`: only while the client sees its balances.

    `example` is what `data` of such an event says, besides the `sub_account_id` of one that concerns a sub-account.
    """

    code: str
    words: str
    group: str
    example: dict[str, Any] = field(hash=False)
    for_clients: bool = True
    tells_balance: bool = False


_PAUSE = {"name": "Acme Plumbing", "policy": "read_only", "reason": "overdue_payment"}
_INVITED = {"invitation_id": "01939f2e-8c50-7b1e-9a35-5f7c1d2e3a4b", "email": "pat@acme-plumbing.example", "role": "sub_account_member"}

EVENT_TYPES = {
    kind.code: kind
    for kind in (
        EventType(
            "sub_account.created",
            "A sub-account was opened",
            "Sub-accounts",
            {"name": "Acme Plumbing", "address": "https://acme-plumbing.example.com"},
        ),
        EventType("sub_account.suspended", "A sub-account was suspended", "Sub-accounts", _PAUSE),
        EventType("sub_account.restored", "A suspended sub-account was restored", "Sub-accounts", _PAUSE),
        EventType("user.invited", "Somebody was invited", "People", _INVITED),
        EventType("user.joined", "Somebody accepted an invitation", "People", _INVITED),
        EventType(
            "user.removed",
            "Somebody was removed",
            "People",
            {
                "user_id": "01939f2e-8c50-7b1e-9a35-5f7c1d2e3a4b",
                "name": "Pat Jones",
                "email": "pat@acme-plumbing.example",
                "role": "member",
            },
            for_clients=False,
        ),
        EventType(
            "credits.granted",
            "Units were added to a wallet",
            "Credits",
            {"unit": "credit", "amount": 500, "source": "purchase"},
            tells_balance=True,
        ),
        # Its threshold is the agency's own, so no client hears of it.
        EventType(
            "credits.low",
            "A balance fell below the threshold you set",
            "Credits",
            {"unit": "credit", "balance": 24, "threshold": 25},
            for_clients=False,
        ),
        EventType(
            "credits.depleted", "A client's own balance is used up", "Credits", {"unit": "credit", "pool_pays": True}, tells_balance=True
        ),
        EventType(
            "call.ended",
            "A call ended, or was lost because nobody ended it",
            "Calls",
            {
                "id": "01939f2e-8c50-7b1e-9a35-5f7c1d2e3a4b",
                "tier": "premium",
                "state": "ended",
                "contact": "+1 555 0100",
                "reference": "call-4711",
                "seconds": 84,
                "charged_seconds": 84,
            },
        ),
        EventType(
            "lead.created",
            "A visitor left an address",
            "Conversations",
            {
                "lead_id": "01939f2e-8c50-7b1e-9a35-5f7c1d2e3a4b",
                "chatbot": "Front desk",
                "name": "Pat Jones",
                "email": "pat@example.com",
                "phone": "",
                "question": "Do you repair boilers on Sundays?",
            },
        ),
        EventType(
            "conversation.started",
            "A visitor began a conversation",
            "Conversations",
            {
                "conversation_id": "01939f2e-8c50-7b1e-9a35-5f7c1d2e3a4b",
                "chatbot": "Front desk",
                "page_url": "https://acme-plumbing.example/contact",
            },
        ),
    )
}
TEST = EventType("webhook.test", "A test, sent by hand", "Tests", {"message": "This is a test. Nothing happened."})
