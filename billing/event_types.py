"""The events that can be listened to: each one is published by the deed it names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EventType:
    """`for_clients`: a sub-account's own endpoints hear it too; `tells_balance`: only while the client sees its balances."""

    code: str
    words: str
    for_clients: bool = True
    tells_balance: bool = False


EVENT_TYPES = {
    kind.code: kind
    for kind in (
        EventType("sub_account.created", "A sub-account was opened"),
        EventType("sub_account.suspended", "A sub-account was suspended"),
        EventType("sub_account.restored", "A suspended sub-account was restored"),
        EventType("credits.granted", "Units were added to a wallet", tells_balance=True),
        EventType("credits.low", "A balance fell below its threshold", tells_balance=True),
        EventType("credits.depleted", "A balance is used up", tells_balance=True),
        EventType("call.ended", "A call ended, or was lost because nobody ended it"),
        EventType("lead.created", "A visitor left an address"),
        EventType("conversation.started", "A visitor began a conversation"),
        EventType("user.invited", "Somebody was invited"),
        EventType("user.joined", "Somebody accepted an invitation"),
    )
}
TEST = EventType("webhook.test", "A test sent from the dashboard")
