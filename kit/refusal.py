"""A rule said no. Everything else that goes wrong is an ordinary exception and a 500."""

from typing import ClassVar


class Refusal(Exception):
    """Subclass it in the module that raises it; name it by the reason.

    `code` is the API's stable word, `status` the HTTP status, the message is for the person on the screen:
    what happened, what was not changed, what to do.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400
    default_message: ClassVar[str] = "This is not possible right now."

    def __init__(self, message: str | None = None) -> None:
        self.message = message or self.default_message
        super().__init__(self.message)
