"""What happened, told to whoever listens: the one way in which a deed makes an event for programs outside.

An event is a message of the outbox, written in the transaction of what it tells, so it exists exactly when that does. The app
that knows who listens handles the topic.
"""

from typing import Any
from uuid import UUID

from kit import clock, outbox
from kit.ids import uuid7

TOPIC = "event"


def publish(type: str, *, agency_id: UUID, sub_account_id: UUID | None = None, data: dict[str, Any]) -> None:
    """Tell that `type` (noun.verb in the past, for instance "sub_account.created") happened.

    The ids are public ids; without `sub_account_id` it concerns the agency alone. `data` holds what JSON can say, no secret,
    and no figure that the sub-account itself may not see.
    """
    id = str(uuid7())
    event = {
        "id": id,
        "type": type,
        "at": clock.now().isoformat(),
        "agency_id": str(agency_id),
        "sub_account_id": str(sub_account_id) if sub_account_id else None,
        "data": data,
    }
    outbox.put(TOPIC, event, key=id)
