"""The API: the operations of every app under `/api/v1/`, for an agency's keys on the platform's host and a client's on its own."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, URLResolver, path, re_path
from ninja import NinjaAPI, Router
from ninja.errors import ValidationError
from ninja.operation import Operation, PathView
from ninja.parser import Parser
from ninja.utils import replace_path_param_notation

from agency import api as agency_api
from agency import api_keys
from agency.api_keys import Scope
from billing import api as billing_api
from config import api_gate
from credits.api import routers as credit_routers
from kit.api import Invalid
from kit.doors import Door, hang, open_door
from kit.refusal import Refusal
from kit.requests import refused
from subaccounts import api as sub_accounts_api
from subaccounts.lifecycle import Suspended

ROUTERS: tuple[Router, ...] = (
    agency_api.router,
    sub_accounts_api.router,
    agency_api.people,
    sub_accounts_api.people,
    *credit_routers,
    agency_api.log,
    billing_api.router,
)

# What pydantic says, in words for whoever writes a program; what is not here is said as pydantic says it.
_PLAINLY = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "string_type": "is not a text",
    "int_type": "is not a whole number",
    "bool_type": "is neither true nor false",
    "list_type": "is not a list",
    "dict_type": "is not an object",
    "model_type": "is not an object",
    "model_attributes_type": "is not an object",
    "int_parsing": "is not a whole number",
    "uuid_parsing": "is not an id",
    "uuid_type": "is not an id",
    "value_error": "{error}",
    "literal_error": "is none of {expected}",
    "enum": "is none of {expected}",
    "greater_than_equal": "is less than {ge}",
    "greater_than": "is not more than {gt}",
    "less_than_equal": "is more than {le}",
    "string_too_long": "has more than {max_length} characters",
    "string_too_short": "has fewer than {min_length} characters",
    "string_pattern_mismatch": "does not have the right form",
    "too_long": "has more than {max_length} items",
    "too_short": "has fewer than {min_length} items",
}


class ReadBody(Parser):
    """The gate has read and checked the body before."""

    def parse_body(self, request: HttpRequest) -> Any:
        return request.given  # type: ignore[attr-defined]


class KeyedAPI(NinjaAPI):
    """Every operation behind the gate; only mistakes of ours are left to Django."""

    def set_default_exception_handlers(self) -> None:
        self.add_exception_handler(Refusal, _refused)
        self.add_exception_handler(Http404, lambda request, _: refused(request, api_gate.NotFound()))
        self.add_exception_handler(ValidationError, lambda request, error: refused(request, _invalid(error)))

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__

    def _get_urls(self) -> list[Any]:
        patterns: list[Any] = []
        for router in self._get_bound_routers():
            for route, operations in router.path_operations.items():
                name = operations.operations[0].view_func.__name__
                patterns.append(path(replace_path_param_notation(route).lstrip("/"), _behind_the_gate(operations, route), name=name))
        patterns.append(re_path("", nothing_here))
        return patterns


def _behind_the_gate(operations: PathView, route: str) -> Callable[..., HttpResponseBase]:
    by_method = {method: operation for operation in operations.operations for method in operation.methods}
    for method, operation in by_method.items():
        needs = getattr(operation.view_func, "needs", None)
        if needs is None or needs.scope not in (None, *Scope.values):
            raise ImproperlyConfigured(f"{method} {route} does not say which scope it needs: put @needs(…) under the router's decorator.")
        if method != api_gate.READING:
            # All of it or nothing of it: a refusal takes back what came before it.
            operation.view_func = transaction.atomic(operation.view_func)

    def inside(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        headers: dict[str, str] = {}
        try:
            api_gate.admit(request)
            headers.update(api_gate.limit(request))
            api_keys.note_use(request.auth, request.actor.address)
            operation = by_method.get(request.method or "")
            if operation is None:
                raise api_gate.MethodNotAllowed(sorted(by_method))
            api_gate.let_in(request, operation)
            api_gate.read(request, operation)
            response = api_gate.run(request, operation, arguments)
        except Refusal as refusal:
            response = refused(request, refusal)
        if response.status_code >= 400 and (operation := by_method.get(request.method or "")):
            api_gate.add_to_problem(response, operation)
        for name, value in {**headers, "Cache-Control": "no-store"}.items():
            response.headers[name] = value
        return response

    inside.csrf_exempt = True  # type: ignore[attr-defined]  # a key is no cookie: nobody else's page can send it
    scopes = ", ".join(f"{method} {api_gate.needs_of(operation).scope or 'any key'}" for method, operation in by_method.items())
    unaudited = {method: api_gate.needs_of(operation).unaudited for method, operation in by_method.items()}
    inside.unaudited = unaudited  # type: ignore[attr-defined]  # by method: one may be recorded where another need not be
    reasons = dict.fromkeys(filter(None, unaudited.values()))
    hang(inside, Door("key", scopes, "; ".join(reasons)))
    return inside


@open_door("an address of the API that there is none of", unaudited="nothing is done there")
def nothing_here(request: HttpRequest) -> HttpResponse:
    return refused(request, api_gate.NotFound())


nothing_here.csrf_exempt = True  # type: ignore[attr-defined]  # it does nothing, and says so to programs in their own form


def _refused(request: HttpRequest, refusal: Any) -> HttpResponse:
    return refused(request, api_gate.AccountSuspended(refusal.message) if isinstance(refusal, Suspended) else refusal)


def _invalid(error: Any) -> Invalid:
    fields: dict[str, str] = {}
    for problem in error.errors:
        where = ".".join(str(part) for part in problem["loc"][_depth_of_root(problem["loc"]) :])
        fields.setdefault(where or "body", _plainly(problem))
    return Invalid(fields=fields)


def _depth_of_root(where: tuple[Any, ...]) -> int:
    """`("body", "given", "amount")` is the field amount; a field of an address stands right after its kind."""
    return 2 if where[0] == "body" else 1


def _plainly(problem: dict[str, Any]) -> str:
    words = _PLAINLY.get(problem["type"])
    return words.format(**problem.get("ctx", {})) if words else str(problem["msg"])


api = KeyedAPI(title="API", version="1", openapi_url=None, docs_url=None, urls_namespace="api", parser=ReadBody())
for router in ROUTERS:
    api.add_router("", router)

urlpatterns: list[URLPattern | URLResolver] = api.urls[0]
