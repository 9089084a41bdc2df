"""Who comes in to an operation of the API, how often, with what; and that a request sent twice is done once.

In this order: the key, where it works, how often, the scope, the size and shape of the body, and last the operation, in one
transaction together with the answer that is kept for the same `Idempotency-Key`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NoReturn
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from ninja.operation import Operation

from agency import api_keys, kept_answers
from agency.kept_answers import Answer
from agency.models import ApiKey
from kit import ratelimit
from kit.api import Invalid, Needs
from kit.durable import early_release
from kit.ratelimit import Count
from kit.refusal import Refusal
from kit.requests import client_address, client_network
from subaccounts.lifecycle import Suspended
from subaccounts.models import SubAccount

READING = "GET"
MINUTE = 60
DEEPEST = 20
KEYS_IN_ADDRESSES = frozenset({"api_key", "apikey", "access_token", "key", "token"})
_ONCE = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")
KEPT_HEADERS = ("Content-Type", "Location")


class NoKey(Refusal):
    """Never says what is wrong with a key: whether there is one like it is nobody's business."""

    code = "unauthorized"
    status = 401
    headers = {"WWW-Authenticate": "Bearer"}
    default_message = "Send a key that works here in the header “Authorization: Bearer …”, and nowhere else."


class AddressNotAllowed(Refusal):
    code = "address_not_allowed"
    status = 403

    def __init__(self, address: str) -> None:
        super().__init__(f"This key does not work from the network address {address or 'of this request'}. Nothing was changed.")


class InsufficientScope(Refusal):
    code = "insufficient_scope"
    status = 403

    def __init__(self, scope: str) -> None:
        super().__init__(f"This key was not given the scope {scope}. Nothing was changed. Make a key that has it.")


class NotFound(Refusal):
    code = "not_found"
    status = 404
    default_message = "There is nothing at this address that the key may see."


class MethodNotAllowed(Refusal):
    code = "method_not_allowed"
    status = 405

    def __init__(self, allowed: list[str]) -> None:
        self.headers = {"Allow": ", ".join(allowed)}
        super().__init__(f"This address takes {' and '.join(allowed)} only. Nothing was changed.")


class TooLarge(Refusal):
    code = "too_large"
    status = 413
    default_message = "The body is larger than an operation takes. Nothing was changed."


class NotJson(Refusal):
    code = "unsupported_media_type"
    status = 415
    default_message = "Send the body as JSON, with “Content-Type: application/json”. Nothing was changed."


class TooManyRequests(Refusal):
    code = "too_many_requests"
    status = 429

    def __init__(self, ends_in: int) -> None:
        self.retry_after = ends_in
        super().__init__(f"Too many requests. Nothing was changed. Try again in {ends_in} seconds.")


class KeyRequired(Refusal):
    code = "idempotency_key_required"
    status = 400
    default_message = "Send a header “Idempotency-Key”, new for each use and the same for each repeat of it. Nothing was changed."


class AccountSuspended(Refusal):
    code = "account_suspended"
    status = 403
    default_message = Suspended.default_message


def needs_of(operation: Operation) -> Needs:
    needs: Needs = operation.view_func.needs  # type: ignore[attr-defined]
    return needs


def admit(request: HttpRequest) -> None:
    """Put the key, its agency, its sub-account (or None) and the actor on the request; raise a refusal for every other one."""
    if KEYS_IN_ADDRESSES.intersection(name.lower() for name in request.GET):
        raise NoKey("A key in an address ends up in logs. Send it in the header “Authorization: Bearer …”.")
    key = _key_of(request)
    if key is None:
        _count_failure(request)
        raise NoKey
    sub_account = _home_of(key, request)
    address = client_address(request)
    if not api_keys.allows(key, address):
        raise AddressNotAllowed(address)
    request.auth, request.agency, request.sub_account = key, key.agency, sub_account
    request.actor = api_keys.as_actor(key, address=address)


def limit(request: HttpRequest) -> Mapping[str, str]:
    """Count the request; the headers that say how many more there may be. Raises `TooManyRequests` with them."""
    is_reading = request.method == READING
    most = settings.API_READS_PER_MINUTE if is_reading else settings.API_WRITES_PER_MINUTE
    count = ratelimit.count(f"api:{request.auth.public_id.hex}:{'read' if is_reading else 'write'}", MINUTE)
    headers = _limit_headers(most, count)
    if count.events > most:
        refusal = TooManyRequests(count.ends_in)
        refusal.headers = headers  # type: ignore[attr-defined]
        raise refusal
    return headers


def let_in(request: HttpRequest, operation: Operation) -> None:
    """Whether this key may use this operation now."""
    needs = needs_of(operation)
    sub_account = request.sub_account
    if sub_account is not None:
        if not needs.clients:
            raise NotFound
        if sub_account.suspension is not None:
            raise AccountSuspended
    if needs.scope is not None and needs.scope not in request.auth.scopes:
        raise InsufficientScope(needs.scope)


def read(request: HttpRequest, operation: Operation) -> None:
    """Take the body in: small, JSON, not deep, nothing in it that no database stores. What was read is `request.given`."""
    _check_query(request, operation)
    request.given = None  # type: ignore[attr-defined]
    if request.method == READING:
        return
    if _declared_length(request) > settings.API_LARGEST_BODY:
        raise TooLarge
    if not request.body:
        return
    if request.content_type != "application/json":
        raise NotJson
    request.given = _parsed(request.body)  # type: ignore[attr-defined]
    if not any(model.__ninja_param_source__ == "body" for model in operation.models):
        raise Invalid("This operation takes no body. Nothing was changed.")


def run(request: HttpRequest, operation: Operation, arguments: dict[str, Any]) -> HttpResponseBase:
    """The answer of the operation. A change and its kept answer are one transaction, on disk before the answer is sent."""
    if request.method == READING:
        return operation.run(request, **arguments)
    key = _idempotency_key(request)
    if key is None and needs_of(operation).once:
        raise KeyRequired
    request.once = _once(request, key)
    with early_release():
        if key is None:
            return operation.run(request, **arguments)
        kept = kept_answers.begin(api_key=request.auth, key=key, request_hash=_hash_of(request))
        if isinstance(kept, Answer):
            return HttpResponse(kept.body, status=kept.status, headers={**kept.headers, "Idempotent-Replayed": "true"})
        response = operation.run(request, **arguments)
        if _is_kept(response):
            headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
            kept_answers.keep(kept, Answer(response.status_code, headers, response.content))  # type: ignore[attr-defined]
        else:
            kept.delete()
        return response


def add_to_problem(response: HttpResponseBase, operation: Operation) -> None:
    """Whatever programs written for another API look for in a refusal."""
    if (says := needs_of(operation).errors_say) and isinstance(response, HttpResponse):
        response.content = json.dumps({**json.loads(response.content), **dict(says)})


def _key_of(request: HttpRequest) -> ApiKey | None:
    scheme, _, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    key = api_keys.recognise(secret) if scheme.lower() == "bearer" else None
    if key is None or key.sub_account_id != _id_here(request):
        return None
    return key


def _id_here(request: HttpRequest) -> object:
    sub_account: SubAccount | None = request.site.sub_account
    return sub_account.public_id if sub_account is not None else None


def _home_of(key: ApiKey, request: HttpRequest) -> SubAccount | None:
    """The sub-account of a client's key as it stands now: the one of the host may be as old as the host cache."""
    if key.sub_account_id is None:
        return None
    found = SubAccount.objects.ready().select_related("agency__plan").filter(public_id=key.sub_account_id, agency=key.agency).first()
    if found is None:
        _count_failure(request)
        raise NoKey
    return found


def _count_failure(request: HttpRequest) -> None:
    count = ratelimit.count(f"api:nobody:{client_network(request)}", MINUTE)
    if count.events > settings.API_FAILURES_PER_MINUTE:
        raise TooManyRequests(count.ends_in)


def _declared_length(request: HttpRequest) -> int:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        raise Invalid("The request does not say in digits how long its body is. Nothing was changed.")
    return int(length[:20])


def _limit_headers(most: int, count: Count) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(most),
        "RateLimit-Remaining": str(max(0, most - count.events)),
        "RateLimit-Reset": str(count.ends_in),
    }


def _check_query(request: HttpRequest, operation: Operation) -> None:
    known: set[str] = set()
    for model in operation.models:
        if model.__ninja_param_source__ == "query":
            known.update(model.__ninja_flatten_map__)  # type: ignore[attr-defined]
    wrong = {name[:60]: "is not known here" for name in request.GET if name not in known}
    wrong |= {name: "may be given once" for name, values in request.GET.lists() if name in known and len(values) > 1}
    wrong |= {
        name: "has a character that no text has" for name, value in request.GET.items() if name in known and not _is_storable(str(value))
    }
    if wrong:
        raise Invalid(fields=wrong)


def _parsed(body: bytes) -> Any:
    try:
        given = json.loads(body.decode(), parse_constant=_no_number, object_pairs_hook=_without_doubles)
        _check_shape(given, DEEPEST)
    except UnicodeDecodeError as error:
        raise Invalid("The body is not UTF-8. Nothing was changed.") from error
    except RecursionError as error:
        raise Invalid("The body is nested too deeply. Nothing was changed.") from error
    except ValueError as error:
        raise Invalid("The body is not JSON. Nothing was changed.") from error
    return given


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("The body says the same field twice. Nothing was changed.")
    return found


def _check_shape(value: Any, deepest: int) -> None:
    if deepest == 0:
        raise RecursionError
    if isinstance(value, str) and not _is_storable(value):
        raise Invalid("The body has a character that no text has. Nothing was changed.")
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_shape(name, deepest - 1)
            _check_shape(inner, deepest - 1)
    if isinstance(value, list):
        for inner in value:
            _check_shape(inner, deepest - 1)


def _is_storable(text: str) -> bool:
    """Neither a null byte nor half a character: PostgreSQL stores neither."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _idempotency_key(request: HttpRequest) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _ONCE.fullmatch(key):
        raise Invalid("An Idempotency-Key has 1 to 255 characters of ASCII. Nothing was changed.")
    return key


def _once(request: HttpRequest, key: str | None) -> str:
    """The key of the deed itself: the same for each repeat, for as long as the deed is remembered, by whatever the answer is kept."""
    owner = "client" if request.sub_account else "agency"
    said = blake2b(key.encode(), digest_size=16).hexdigest() if key else uuid4().hex
    return f"api:{owner}:{request.auth.public_id.hex}:{said}"


def _hash_of(request: HttpRequest) -> str:
    head = f"{request.method} {request.get_full_path()}\n".encode()
    return hashlib.sha256(head + request.body).hexdigest()


def _is_kept(response: HttpResponseBase) -> bool:
    """What the operation answered, its refusals too; not what could not be understood and not what failed on our side."""
    return response.status_code < 500 and response.status_code not in (400, 429)
