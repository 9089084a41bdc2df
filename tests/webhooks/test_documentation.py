"""What receivers are told is true: the code verifies, the vector fits, and every event of the catalogue is published somewhere."""

import ast
import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
import time_machine
from standardwebhooks import Webhook, WebhookVerificationError

from billing import deliveries, verification
from billing.event_types import EVENT_TYPES, TEST
from tests.cast import PLATFORM, Cast, Visitor, host_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "webhooks.md").read_text()
VECTOR = verification.VECTOR
HEADERS = {name: value for name, value in VECTOR.items() if name.startswith("webhook-")}
BODY = VECTOR["body"].encode()


def by_hand(secret: str, headers: dict[str, str], body: bytes) -> bytes:
    inside: dict[str, Any] = {}
    exec(verification.BY_HAND, inside)
    return inside["verified"](secret, headers, body)  # type: ignore[no-any-return]


def test_h10_the_published_vector_is_verified_by_three_that_know_nothing_of_each_other() -> None:
    key = base64.b64decode(VECTOR["secret"].removeprefix("whsec_"))
    signed = f"{VECTOR['webhook-id']}.{VECTOR['webhook-timestamp']}.{VECTOR['body']}".encode()
    assert VECTOR["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    with time_machine.travel(int(VECTOR["webhook-timestamp"]) + 10):
        assert by_hand(VECTOR["secret"], HEADERS, BODY) == BODY
        assert Webhook(VECTOR["secret"]).verify(BODY, HEADERS)["type"] == "webhook.test"


@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp", "webhook-signature", "body", "secret", "age"])
def test_h10_what_was_altered_or_kept_is_refused(part: str) -> None:
    at = int(VECTOR["webhook-timestamp"]) + (301 if part == "age" else 1)
    changed = {**VECTOR, "webhook-timestamp": str(at)} if part == "webhook-timestamp" else dict(VECTOR)
    changed |= {
        "webhook-id": {"webhook-id": "evt_1"},
        "webhook-signature": {"webhook-signature": "v1,AAAA v2,x"},
        "body": {"body": VECTOR["body"].replace("Nothing", "Something")},
        "secret": {"secret": "whsec_" + base64.b64encode(bytes(32)).decode()},
    }.get(part, {})
    headers = {name: changed[name] for name in HEADERS}
    with time_machine.travel(at):
        with pytest.raises(ValueError, match="not genuine|too old"):
            by_hand(changed["secret"], headers, changed["body"].encode())
        with pytest.raises(WebhookVerificationError):
            Webhook(changed["secret"]).verify(changed["body"].encode(), headers)


def test_the_document_says_what_the_code_does() -> None:
    for text in (verification.BY_HAND, verification.WITH_PACKAGE, verification.IN_NODE):
        assert text in DOCS
    for name, value in VECTOR.items():
        assert f"{name}: {value}\n" in DOCS
    for kind in EVENT_TYPES.values():
        assert f"### `{kind.code}`\n\n{kind.words}." in DOCS
        assert verification.example(kind) in DOCS
    assert DOCS.count("### `") == len(EVENT_TYPES)
    assert deliveries.WAITS_SECONDS[:3] == [5, 300, 1800]
    assert [wait / 3600 for wait in deliveries.WAITS_SECONDS[3:]] == [2, 5, 10, 14, 20, 24]


def test_the_product_explains_it_too(cast: Cast) -> None:
    agency = Visitor(PLATFORM, cast.nora).get("/webhooks/documentation/").content.decode()
    client = Visitor(host_of(cast.acme), cast.paul).get("/webhooks/documentation/").content.decode()
    assert all(code in agency for code in EVENT_TYPES)
    assert "credits.low" not in client
    assert VECTOR["webhook-signature"] in client
    assert "webhooks/documentation" in Visitor(PLATFORM, cast.nora).get("/developers/documentation/").content.decode()


def called(tree: ast.AST, name: str) -> list[ast.Call]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")) == name]


def published() -> set[str]:
    """What `events.publish` is given: a text, or the first argument of each call of the function that hands it on."""
    found: set[str] = set()
    for file in ROOT.glob("*/**/*.py"):
        if file.relative_to(ROOT).parts[0] in {"tests", "benchmarks", "var"} or "events.publish(" not in file.read_text():
            continue
        tree = ast.parse(file.read_text())
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            for call in [call for call in called(function, "publish") if isinstance(call.func, ast.Attribute)]:
                given = call.args[0]
                sources = [given] if isinstance(given, ast.Constant) else [outer.args[0] for outer in called(tree, function.name)]
                for source in sources:
                    assert isinstance(source, ast.Constant), f"{file}: nobody can read which event this is"
                    found.add(str(source.value))
    return found


def test_every_event_that_is_published_can_be_listened_to_and_the_other_way_round() -> None:
    assert published() == set(EVENT_TYPES)
    assert TEST.code not in EVENT_TYPES
