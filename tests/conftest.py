import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connection, connections
from django.test import TransactionTestCase

from tests import audit_watch
from tests.cast import Cast, Visitor, assemble
from tests.chromium import find as find_chromium

# Committed rows stay: a test that commits makes its own agency, and the cast below outlives it.
TransactionTestCase._fixture_teardown = lambda self: None  # type: ignore[method-assign]


def pytest_configure(config: pytest.Config) -> None:
    # Emptying a cache empties its whole Redis database, so each worker has one; 0 is for the processes that tests start.
    number = 1 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    django_settings.REDIS_URL = f"{django_settings.REDIS_URL.partition('?')[0]}?db={number}"
    django_settings.CACHES["default"]["LOCATION"] = django_settings.REDIS_URL
    django_settings.MIDDLEWARE.append("tests.audit_watch.AuditWatch")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        assemble()


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


@pytest.fixture(autouse=True)
def leave_no_trace() -> Iterator[None]:
    """Every test starts with an empty cache and ends in public, with every change on the record."""
    audit_watch.unexplained.clear()
    cache.clear()
    yield
    assert connection.schema_name == "public", "the test left a workspace open"
    assert audit_watch.unexplained == [], "a change left no audit record"


@pytest.fixture
def visit() -> type[Visitor]:
    """`visit(host, user)` is a signed-in browser without scripts."""
    return Visitor


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One headless Chromium for the worker; it reaches this machine and nothing else."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    # Playwright's loop runs in this thread until the end; Django would take our own synchronous calls for asynchronous ones.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
        flags += ["--disable-component-update", "--disable-sync"]
        flags += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost"]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        # While the loop runs Django keeps its connections per call stack: these are not the ones the database's teardown closes.
        connections.close_all()
        browser.close()
    os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """A fresh browser context: own cookies, 1280 × 800."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    yield context
    context.close()
