"""What the API is, for programs: an OpenAPI 3.1 description made of the operations themselves. It names no host and no brand."""

from copy import deepcopy
from functools import cache
from http import HTTPStatus
from typing import Any

from agency.api_keys import Scope
from config.api import api
from config.api_gate import READING, needs_of
from kit.api import Needs

PREFIX = "api/v1/"
_ALWAYS = (400, 401, 403, 404, 429, 503)
_WHEN_CHANGING = (409, 413, 415)
_WHEN_PAYING = (402,)
_PAYING = (Scope.CREDITS_WRITE, Scope.CREDITS_SPEND, Scope.CALLS_WRITE)
_MEANING = {
    400: "The request is not as it should be; `errors` says where.",
    401: "No key that works here.",
    402: "There are not enough credits: `insufficient_credits`, `pool_limit_reached`.",
    403: "The key may not: `insufficient_scope`, `address_not_allowed`, `account_suspended`, `feature_not_included`.",
    404: "There is nothing the key may see.",
    409: "It contradicts what is there; `code` says how.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too many requests; `Retry-After` says when to try again.",
    503: "Something does not answer; nothing was changed, try again.",
}
_PROBLEM = {
    "title": "Problem",
    "description": "Why a request was refused (RFC 9457). `code` is stable; `detail` is for people.",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                "required": ["field", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "code", "detail"],
}
_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "description": "Any text that is new for each request. Sent again with the same request within 24 hours, it gets the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
}


@cache
def description(*, for_clients: bool = False) -> dict[str, Any]:
    """The OpenAPI description: of everything, or of what the keys of a sub-account can do. Do not change what you get."""
    made = deepcopy(dict(api.get_openapi_schema(path_prefix=PREFIX)))
    needs = _needs_by_operation()
    paths = {}
    for path, by_method in made["paths"].items():
        kept = {
            method: _completed(method, dict(operation), needs[operation["operationId"]])
            for method, operation in by_method.items()
            if needs[operation["operationId"]].clients or not for_clients
        }
        if kept:
            paths[path] = kept
    schemas = {"Problem": _PROBLEM, **made["components"]["schemas"]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "API", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": _reachable(schemas, paths),
            "responses": {f"Problem{status}": _answer(meaning) for status, meaning in _MEANING.items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


def _needs_by_operation() -> dict[str, Needs]:
    return {
        api.get_openapi_operation_id(operation): needs_of(operation)
        for router in api._get_bound_routers()
        for operations in router.path_operations.values()
        for operation in operations.operations
    }


def _completed(method: str, operation: dict[str, Any], needs: Needs) -> dict[str, Any]:
    """With what the gate does for every operation."""
    statuses = [*_ALWAYS]
    operation["summary"] = operation["description"].partition(".")[0]
    operation["parameters"] = [{**parameter, "schema": _without_null(parameter["schema"])} for parameter in operation["parameters"]]
    if method.upper() != READING:
        statuses += _WHEN_CHANGING
        operation["parameters"] = [*operation["parameters"], {**_IDEMPOTENCY_KEY, "required": needs.once}]
    if needs.scope in _PAYING:
        statuses += _WHEN_PAYING
    problems = {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)}
    operation["responses"] = {**{str(status): answer for status, answer in operation["responses"].items()}, **problems}
    operation["security"] = [{"key": [needs.scope] if needs.scope else []}]
    operation["x-sub-account-keys"] = needs.clients
    return operation


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """An address has no null: what is optional there is left out."""
    others = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(others) != 1:
        return schema
    return {**others[0], **{name: value for name, value in schema.items() if name not in ("anyOf", "default")}}


def _answer(meaning: str) -> dict[str, Any]:
    return {
        "description": meaning,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _reachable(schemas: dict[str, Any], paths: dict[str, Any]) -> dict[str, Any]:
    """The schemas that the paths speak of: a client's description names nothing of the agency's."""
    found, waiting = {"Problem"}, _named(paths)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting |= _named(schemas[name])
    return {name: schema for name, schema in schemas.items() if name in found}


def _named(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"].rpartition("/")[2]} if str(part.get("$ref", "")).startswith("#/components/schemas/") else set()
        return own.union(*map(_named, part.values()))
    return set().union(*map(_named, part)) if isinstance(part, list) else set()


def phrase(status: str) -> str:
    """What a status is called, for instance "Not Found"."""
    return HTTPStatus(int(status)).phrase
