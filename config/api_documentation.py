"""The pages that explain the API to people, made of its description: an overview, and a page for each operation."""

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from agency.access import Can
from agency.api_keys import MARK
from agency.doors import agency_door
from config.api_description import description, phrase
from kit.requests import words_of
from subaccounts.doors import workspace_door

# What a value is like in an example, by its format or its name; the rest is made of its type.
_LIKE = {
    "uuid": "0190a5c2-7b1e-7c3a-9f52-6d1b2a3c4d5e",
    "date-time": "2026-03-01T12:00:00Z",
    "date": "2026-03-01",
    "email": "pat@example.com",
}
_DEEPEST = 6


@dataclass(frozen=True)
class Field:
    """A parameter or a part of a body, in words. `where` is the path, the query, a header or the body."""

    name: str
    where: str
    kind: str
    is_required: bool
    text: str


@dataclass(frozen=True)
class Documented:
    """One operation as its page shows it."""

    id: str
    tag: str
    method: str
    path: str
    summary: str
    text: str
    scope: str
    for_clients: bool
    fields: list[Field] = field(default_factory=list)
    body: str = ""
    status: str = ""
    answer: str = ""
    problems: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def tone(self) -> str:
        return "info" if self.method == "GET" else "brand"

    def is_found_by(self, words: str) -> bool:
        told = " ".join(
            [self.id, self.method, self.path, self.summary, self.text, self.scope, *(field.name for field in self.fields)]
        ).lower()
        return all(word in told for word in words.lower().split())


@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    query = words_of(request.GET.get("q", ""))
    found = [operation for operation in documented(for_clients=_is_client(request)) if operation.is_found_by(query)]
    groups = [(tag, [operation for operation in found if operation.tag == tag]) for tag in dict.fromkeys(one.tag for one in found)]
    context = {
        "groups": groups,
        "q": query,
        "base": _base(request),
        "example": f"curl {_base(request)}/me \\\n  -H 'Authorization: Bearer {MARK}…'",
        "reads": settings.API_READS_PER_MINUTE,
        "writes": settings.API_WRITES_PER_MINUTE,
    }
    return render(request, "api/documentation.html", context)


@require_safe
def operation(request: HttpRequest, name: str) -> HttpResponse:
    shown = next((one for one in documented(for_clients=_is_client(request)) if one.id == name), None)
    if shown is None:
        raise Http404
    return render(request, "api/operation.html", {"operation": shown, "curl": _curl(shown, request)})


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """The description itself, for programs that make clients of it."""
    text = json.dumps(description(for_clients=_is_client(request)), indent=2, ensure_ascii=False)
    return HttpResponse(text, content_type="application/json", headers={"Content-Disposition": 'attachment; filename="openapi.json"'})


PAGES = (
    ("developers/documentation/", overview, "api_documentation"),
    ("developers/documentation/openapi.json", openapi, "api_openapi"),
    ("developers/documentation/<slug:name>/", operation, "api_operation"),
)
platform = [path(route, agency_door(Can.MANAGE_API)(view), name=name) for route, view, name in PAGES]
workspace = [path(route, workspace_door(Can.MANAGE_WORKSPACE)(view), name=name) for route, view, name in PAGES]


@cache
def documented(*, for_clients: bool) -> list[Documented]:
    whole = description(for_clients=for_clients)
    return [
        _documented(whole, route, method, operation)
        for route, by_method in whole["paths"].items()
        for method, operation in by_method.items()
    ]


def _documented(whole: dict[str, Any], route: str, method: str, operation: dict[str, Any]) -> Documented:
    scopes = operation["security"][0]["key"]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    body = content["schema"] if content else None
    status = next(code for code in operation["responses"] if code.startswith("2"))
    answer = operation["responses"][status].get("content", {}).get("application/json")
    fields = [
        Field(one["name"], _WHERE[one["in"]], _kind(whole, one["schema"]), one["required"], _plain(one.get("description", "")))
        for one in operation["parameters"]
    ]
    return Documented(
        id=operation["operationId"],
        tag=operation["tags"][0],
        method=method.upper(),
        path=route,
        summary=_plain(operation["summary"]),
        text=_plain(operation["description"].removeprefix(operation["summary"]).lstrip(". ")),
        scope=scopes[0] if scopes else "",
        for_clients=operation["x-sub-account-keys"],
        fields=[*fields, *(_fields(whole, body, "") if body else [])],
        body=_as_json(_example(whole, body, _DEEPEST)) if body else "",
        status=f"{status} {phrase(status)}",
        answer=_as_json(_example(whole, answer["schema"], _DEEPEST)) if answer else "",
        problems=[
            (code, phrase(code), _problem(whole, answer)) for code, answer in operation["responses"].items() if not code.startswith("2")
        ],
    )


_WHERE = {"path": "address", "query": "query", "header": "header"}


def _resolved(whole: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself where it is only named, and of several that may be the first that is not null."""
    if "$ref" in schema:
        return _resolved(whole, whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            first = next((one for one in schema[several] if one.get("type") != "null"), schema[several][0])
            return {**_resolved(whole, first), **{name: value for name, value in schema.items() if name == "description"}}
    return schema


def _fields(whole: dict[str, Any], schema: dict[str, Any], inside: str) -> list[Field]:
    known = _resolved(whole, schema)
    found = []
    for name, part in known.get("properties", {}).items():
        inner = _resolved(whole, part)
        text = _plain(part.get("description", "") or inner.get("description", ""))
        found.append(Field(f"{inside}{name}", "body", _kind(whole, part), name in known.get("required", ()), text))
        if inner.get("properties") and inside.count(".") < _DEEPEST:
            found += _fields(whole, inner, f"{inside}{name}.")
    return found


def _kind(whole: dict[str, Any], schema: dict[str, Any]) -> str:
    """What a value may be, in words."""
    known = _resolved(whole, schema)
    if "enum" in known or "const" in known:
        return "one of " + ", ".join(str(value) for value in known.get("enum", [known.get("const")]))
    if known.get("type") == "array":
        return f"list of {_kind(whole, known.get('items', {}))}"
    words = _WORDS.get(known.get("format", "")) or _WORDS.get(str(known.get("type", "")), "value")
    if "maxLength" in known and "format" not in known:
        words += f", up to {known['maxLength']:,} characters"
    if "maximum" in known and "minimum" in known:
        words += f" from {known['minimum']:,} to {known['maximum']:,}"
    return words


_WORDS = {
    "uuid": "id",
    "date-time": "time, ISO 8601",
    "date": "day, ISO 8601",
    "email": "e-mail address",
    "uri": "web address",
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
}


def _example(whole: dict[str, Any], schema: dict[str, Any], deepest: int, name: str = "") -> Any:
    known = _resolved(whole, schema)
    if known.get("examples"):
        return known["examples"][0]
    if "enum" in known or "const" in known:
        return known.get("enum", [known.get("const")])[0]
    kind = known.get("type")
    if kind == "object":
        inner = known.get("properties", {}) if deepest else {}
        return {part: _example(whole, value, deepest - 1, part) for part, value in inner.items()}
    if kind == "array":
        return [_example(whole, known.get("items", {}), deepest - 1, name)] if deepest else []
    if kind == "string":
        return (
            _LIKE.get(known.get("format", ""))
            or known.get("default")
            or (f"{name}…" if known.get("minLength") or not known.get("maxLength") else "")
        )
    return {"integer": known.get("default", known.get("minimum", 1)), "boolean": known.get("default", True), "number": 1.5}.get(str(kind))


def _problem(whole: dict[str, Any], answer: dict[str, Any]) -> str:
    known = whole["components"]["responses"][answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
    return _plain(str(known["description"]))


def _plain(text: str) -> str:
    """Without the marks of code that the description has for programs."""
    return text.replace("`", "")


def _curl(shown: Documented, request: HttpRequest) -> str:
    address = f"{_base(request).removesuffix('/api/v1')}{shown.path.replace('{', '').replace('}', '')}"
    for one in shown.fields:
        if one.where == "address":
            address = address.replace(f"/{one.name}", f"/{_LIKE['uuid']}", 1) if one.kind == "id" else address
    lines = [f"curl -X {shown.method} {address}", f"  -H 'Authorization: Bearer {MARK}…'"]
    if shown.method != "GET":
        lines.append("  -H 'Idempotency-Key: a-new-one-for-each-request'")
    if shown.body:
        lines += ["  -H 'Content-Type: application/json'", f"  -d '{shown.body}'"]
    return " \\\n".join(lines)


def _as_json(example: Any) -> str:
    return json.dumps(example, indent=2, ensure_ascii=False)


def _base(request: HttpRequest) -> str:
    return f"{settings.SCHEME}://{request.site.host}/api/v1"


def _is_client(request: HttpRequest) -> bool:
    return request.site.kind == "workspace"
