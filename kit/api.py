"""What an operation of the API is made of: what it needs, what it takes, and the pages of a list.

`config/api.py` puts the operations of all apps together, and `config/api_gate.py` lets programs in; docs/api/README.md says how to
add one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, Signer
from django.core.validators import validate_email
from django.db.models import Model, QuerySet
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema

from kit.refusal import Refusal

Operation = TypeVar("Operation", bound=Callable[..., Any])
Item = TypeVar("Item")
Row = TypeVar("Row", bound=Model)

MOST_ON_A_PAGE = 100
USUAL_ON_A_PAGE = 50
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"


@dataclass(frozen=True)
class Needs:
    """`scope` is what a key must have been given (none: any key will do). `clients`: whether the keys of a sub-account may too.

    `unaudited` says why a successful change leaves no audit record; empty means it must leave one. `once`: without an
    `Idempotency-Key` it is refused, for it moves or uses units. `errors_say` is what its problems say besides.
    """

    scope: str | None
    clients: bool = False
    unaudited: str = ""
    once: bool = False
    errors_say: tuple[tuple[str, Any], ...] = ()


def needs(
    scope: str | None, *, clients: bool = False, unaudited: str = "", once: bool = False, errors_say: Mapping[str, Any] | None = None
) -> Callable[[Operation], Operation]:
    """The door of one operation; without it the process does not start. Stands under the router's decorator."""

    def decorate(operation: Operation) -> Operation:
        operation.needs = Needs(scope, clients, unaudited, once, tuple((errors_say or {}).items()))  # type: ignore[attr-defined]
        return operation

    return decorate


# --- Input ----------------------------------------------------------------------------------------------------------------


class Invalid(Refusal):
    """The request cannot be understood. `fields` says in plain words what is wrong where, for instance {"amount": "…"}."""

    code = "invalid_request"
    status = 400
    default_message = "The request is not as it should be. Nothing was changed."

    def __init__(self, message: str | None = None, *, fields: dict[str, str] | None = None) -> None:
        self.fields = fields or {}
        super().__init__(message)


class Given(BaseModel):
    """Base of every body: a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid")


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class Changes(Given):
    """Base of a body that changes something: whatever is left out stays. Read it with `model_dump(exclude_unset=True)`."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_without_defaults)


def _email(address: str) -> str:
    try:
        validate_email(address)
    except ValidationError as error:
        raise ValueError("is not an e-mail address") from error
    return address


def _digits(value: object) -> object:
    """Python's own reading of a number takes `1_000`, `１００` and `+5` too."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise ValueError("is not a whole number in digits")
    return value


# A text in one line, in a body.
Line = Annotated[str, Field(pattern=_ONE_LINE)]
Flag = Annotated[bool, Strict()]
# In a body: a JSON number without a fraction, and never `true`.
Whole = Annotated[int, Strict()]
Amount = Annotated[int, Strict(), Field(ge=1, le=999_999_999)]
Email = Annotated[
    str, Field(max_length=254), AfterValidator(_email), WithJsonSchema({"type": "string", "format": "email", "maxLength": 254})
]
# Of a number in an address, after its bounds: the digits 0 to 9 and nothing else.
DIGITS = BeforeValidator(_digits)


# --- Lists ----------------------------------------------------------------------------------------------------------------


class Page(BaseModel, Generic[Item]):
    """A page of a list. `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None


class PageWish(BaseModel):
    """The part of a list that is asked for; the base of a list's filters."""

    limit: Annotated[int, Field(ge=1, le=MOST_ON_A_PAGE, description="How many items the page has at most."), DIGITS] = USUAL_ON_A_PAGE
    cursor: str | None = Field(None, max_length=500, description="`next_cursor` of the page before.")


def paged(rows: QuerySet[Row], wish: PageWish, *, of: str) -> tuple[list[Row], str | None]:
    """The newest rows first, from after the cursor on, and the cursor of the next page. `of` names the list: its cursors fit no other.

    Stable: what is added or removed meanwhile neither repeats nor hides a row.
    """
    if wish.cursor:
        rows = rows.filter(pk__lt=opened_cursor(wish.cursor, of=of))
    found = list(rows.order_by("-pk")[: wish.limit + 1])
    more = len(found) > wish.limit
    return found[: wish.limit], sealed_cursor(str(found[wish.limit - 1].pk), of=of) if more else None


def sealed_cursor(position: str, *, of: str) -> str:
    """A position in the list `of`, signed so that nobody makes up another one."""
    return Signer(salt=f"cursor {of}").sign_object(position)


def opened_cursor(cursor: str, *, of: str) -> str:
    """What `sealed_cursor` sealed. Raises `Invalid`."""
    try:
        return str(Signer(salt=f"cursor {of}").unsign_object(cursor))
    except (BadSignature, ValueError) as error:
        raise Invalid(fields={"cursor": "is not one of this list: leave it out to begin at the first page"}) from error
