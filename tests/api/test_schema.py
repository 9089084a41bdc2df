"""The API tried against its own description: no answer it does not describe, no 5xx, whatever is sent.

Every operation is found by itself. Where a path has the id of something, the tries need one that exists: `real_ids`.
"""

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, assume, given
from hypothesis import settings as trying
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from billing import webhooks
from billing.models import Endpoint
from config.api_description import description
from credits import ledger
from kit import clock
from kit.ids import uuid7
from subaccounts import calls, lifecycle
from subaccounts.models import SubAccount
from tests.api.program import key_of
from tests.cast import PLATFORM, TESTS, Cast, host_of
from tests.credits.conftest import fresh_key

# Valid data may be refused (a taken web address), and what needs no key is tried by the doors.
NOT_ASKED = [checks.positive_data_acceptance, checks.ignored_auth]


def real_ids(cast: Cast) -> dict[str, str]:
    """An id that exists for the parameter that stands behind a word in a path."""
    acme = cast.acme
    about = {"sub_account_id": acme.public_id, "expires_at": clock.now() + timedelta(minutes=5), "by": TESTS}
    hold = ledger.hold(sources=acme.credit_sources("credit"), amount=5, key=f"api:client:{uuid7()}", kind="metered", **about)
    ledger.grant(to=acme.wallet("basic_minute"), amount=600, source="purchase", key=fresh_key(), by=TESTS)
    call = calls.start(sub_account=acme, tier="basic", expected_seconds=60, maximum_seconds=300, is_own=True, key=fresh_key(), by=TESTS)
    return {
        "sub-accounts": str(acme.public_id),
        "users": str(cast.adam.public_id),
        "wallets": str(acme.wallet("credit").pk),
        "holds": str(hold.pk),
        "calls": str(call.public_id),
    }


def webhook_ids(cast: Cast, sub_account: SubAccount | None) -> dict[str, str]:
    """An endpoint of the key's owner with one delivery."""
    owner = sub_account.public_id if sub_account else None
    endpoint = Endpoint.objects.create(agency=cast.northlight, sub_account_id=owner, url="https://receiver.example/")
    sent = webhooks.test(endpoint=endpoint, by=TESTS)
    return {"webhooks": str(endpoint.public_id), "deliveries": str(sent.public_id)}


# Of the fields of a body that only together make sense: what every try that is meant to be right says.
SENSIBLE: dict[str, dict[str, Any]] = {
    "open_sub_account": {"email": "pat@example.com", "slug": "pats-bakery", "first_name": "Pat", "last_name": "Baker"},
    "spend_credits": {"unit": "credit", "amount": 3, "kind": None, "quantity": None, "own_key": False},
    "spend_many_credits": {"unit": "credit", "kind": None, "uses": [{"amount": 2}, {"amount": 999_999}]},
    "hold_credits": {"kind": "ai_reply", "unit": None, "amount": None, "own_key": False},
    "grant_credits_by_email": {"email": "paul@acme-plumbing.example", "amount": 7},
    "quote_transfer": {"source": "pool", "unit": "credit", "amount": 9},
}
# Whom a try is about that is meant to be right.
ABOUT_ACME = {"spend_credits", "spend_many_credits", "hold_credits", "start_call", "grant_credits", "reclaim_credits"}


def operations(*, for_clients: bool) -> list[str]:
    paths = description(for_clients=for_clients)["paths"]
    return [f"{method.upper()} {path}" for path, by_method in paths.items() for method in by_method]


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The product as a server runs it, in the transaction of the test."""
    monkeypatch.setattr(settings, "API_READS_PER_MINUTE", 1_000_000)
    monkeypatch.setattr(settings, "API_WRITES_PER_MINUTE", 1_000_000)
    monkeypatch.setattr(settings, "API_FAILURES_PER_MINUTE", 1_000_000)
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    yield get_wsgi_application()
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)


def try_out(application: Any, cast: Cast, label: str, *, secret: str, host: str, for_clients: bool, examples: int) -> None:
    method, path = label.split(" ")
    schema = schemathesis.openapi.from_dict(description(for_clients=for_clients))
    schema.app = application
    operation = schema[path][method]
    ids = real_ids(cast) | webhook_ids(cast, cast.acme if for_clients else None)
    words, name = path.split("/"), operation.definition.raw["operationId"]
    known = {word[1:-1]: ids[before] for before, word in itertools.pairwise(words) if word.startswith("{") and before in ids}

    def trial(mode: GenerationMode) -> Callable[[], None]:
        @trying(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def once(case: Any) -> None:
            assume(not any(value in ([], {}, ()) for value in (case.query or {}).values()))  # what no address can say is not sent
            assume(all(str(value) == str(value).strip() for value in (case.headers or {}).values()))  # HTTP takes the space around away
            if not case.meta.is_negative_at(schemathesis.core.parameters.ParameterLocation.PATH):
                case.path_parameters.update(known)
            if case.meta.generation.mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
                case.body.update(SENSIBLE.get(name, {}))
                if name in ABOUT_ACME:
                    case.body["sub_account"] = ids["sub-accounts"]
            with transaction.atomic():
                case.call_and_validate(
                    base_url=f"http://{host}", headers={"Authorization": f"Bearer {secret}", "Host": host}, excluded_checks=NOT_ASKED
                )
                transaction.set_rollback(True)

        return once

    trial(GenerationMode.POSITIVE)()
    if operation.body or operation.query:
        trial(GenerationMode.NEGATIVE)()


@pytest.mark.parametrize("label", operations(for_clients=False))
def test_an_agencys_key_gets_what_is_described(application: Any, cast: Cast, label: str) -> None:
    secret = key_of(cast.northlight).secret
    try_out(application, cast, label, secret=secret, host=PLATFORM, for_clients=False, examples=5)


@pytest.mark.parametrize("label", operations(for_clients=True))
def test_a_clients_key_gets_what_is_described(application: Any, cast: Cast, label: str) -> None:
    secret = key_of(cast.northlight, sub_account=cast.acme).secret
    try_out(application, cast, label, secret=secret, host=host_of(cast.acme), for_clients=True, examples=2)


@pytest.mark.long
@pytest.mark.parametrize("label", operations(for_clients=False))
def test_hundreds_of_tries_find_no_answer_that_is_not_described(application: Any, cast: Cast, label: str) -> None:
    lifecycle.suspend(sub_account=cast.koala, by=TESTS)
    secret = key_of(cast.northlight).secret
    try_out(application, cast, label, secret=secret, host=PLATFORM, for_clients=False, examples=200)
