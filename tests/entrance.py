"""Signing in, and reading the mails that come of it, as the tests of people and of attacks do it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail

from kit import outbox
from tests.cast import PASSWORD, PLATFORM, Visitor

Mails = Callable[[], list[Any]]


@pytest.fixture
def mails(db: None) -> Mails:
    """Delivers what waits and returns every mail of the test so far; what the cast's opening had to say is not among them."""

    outbox.deliver_due()
    mail.outbox.clear()

    def deliver() -> list[Any]:
        outbox.deliver_due()
        return mail.outbox

    return deliver


def code_in(message: Any) -> str:
    """The code a mail carries, on a line of its own."""
    found = re.search(r"^ {4}(\S+)$", message.body, re.MULTILINE)
    assert found, message.body
    return found.group(1)


def sign_in(
    email: str, host: str = PLATFORM, password: str = PASSWORD, browser: Visitor | None = None, **extra: Any
) -> tuple[Visitor, Any]:
    """A browser after posting the sign-in form of `host`, and the answer."""
    browser = browser or Visitor(host)
    return browser, browser.post("/sign-in/", {"login": email, "password": password}, **extra)


def is_signed_in(browser: Visitor) -> bool:
    return browser.get("/security/").status_code == 200
