"""The API tried against its own description: no answer it does not describe, no 5xx, whatever is sent.

Every operation is found by itself. Where a path has the id of something, the tries need one that exists: `real_ids`.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as trying
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from config.api_description import description
from subaccounts import lifecycle
from tests.api.program import key_of
from tests.cast import PLATFORM, TESTS, Cast, host_of

# Valid data may be refused (a taken web address), and what needs no key is tried by the doors.
NOT_ASKED = [checks.positive_data_acceptance, checks.ignored_auth]


def real_ids(cast: Cast) -> dict[str, str]:
    """An id that exists for the parameter that stands behind a word in a path."""
    return {"sub-accounts": str(cast.acme.public_id), "users": str(cast.adam.public_id)}


# Of the fields of a body that only together make sense: what every try that is meant to be right says.
SENSIBLE: dict[str, dict[str, Any]] = {
    "open_sub_account": {"email": "pat@example.com", "slug": "pats-bakery", "first_name": "Pat", "last_name": "Baker"}
}


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
    ids, words = real_ids(cast), path.split("/")
    known = {name[1:-1]: ids[before] for before, name in itertools.pairwise(words) if name.startswith("{") and before in ids}

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
            if not case.meta.is_negative_at(schemathesis.core.parameters.ParameterLocation.PATH):
                case.path_parameters.update(known)
            if case.meta.generation.mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
                case.body.update(SENSIBLE.get(operation.definition.raw["operationId"], {}))
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
    try_out(application, cast, label, secret=secret, host=PLATFORM, for_clients=False, examples=8)


@pytest.mark.parametrize("label", operations(for_clients=True))
def test_a_clients_key_gets_what_is_described(application: Any, cast: Cast, label: str) -> None:
    secret = key_of(cast.northlight, sub_account=cast.acme).secret
    try_out(application, cast, label, secret=secret, host=host_of(cast.acme), for_clients=True, examples=4)


@pytest.mark.long
@pytest.mark.parametrize("label", operations(for_clients=False))
def test_hundreds_of_tries_find_no_answer_that_is_not_described(application: Any, cast: Cast, label: str) -> None:
    lifecycle.suspend(sub_account=cast.koala, by=TESTS)
    secret = key_of(cast.northlight).secret
    try_out(application, cast, label, secret=secret, host=PLATFORM, for_clients=False, examples=200)
