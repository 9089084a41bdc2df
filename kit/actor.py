"""Who does a deed. A value that is handed in, never an ambient current user."""

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["user", "staff", "system", "visitor", "api_key"]


@dataclass(frozen=True, slots=True)
class Actor:
    """`id` is the public id of the person or key (empty for the system), `label` what people read.

    `on_behalf_of` names the client an agency user is assisting, `address` the network address a request came from.
    """

    kind: ActorKind
    id: str
    label: str
    on_behalf_of: str = ""
    address: str = ""


def system(name: str) -> Actor:
    """The actor of a job or a set-up step, for instance `system("expiry sweep")`."""
    return Actor(kind="system", id="", label=name)
