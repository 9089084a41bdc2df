"""The inbox and the pages of alerts, seen by a browser: nobody is shut out, nothing sticks out."""

from collections.abc import Callable

import pytest

from agency import notices
from agency.models import Category
from agency.notices import Word
from subaccounts import thresholds
from tests.cast import TESTS, Cast, host_of
from tests.ui.conftest import MODES, Sight
from tests.ui.test_sub_account_pages import LONG, assert_fine

Look = Callable[..., Sight]


def tell(cast: Cast, audience: str, number: int) -> None:
    notices.tell(
        agency=cast.northlight, sub_account_id=cast.acme.public_id, audience=audience, category=Category.STOPPED, key=f"look:{number}",
        word=Word(f"{LONG}: news {number}", "What happened, and what to do about it. " * 8, "/"),
    )  # fmt: skip


@pytest.mark.parametrize(("width", "scheme"), MODES)
def test_the_inbox_on_both_hosts(look: Look, cast: Cast, width: int, scheme: str) -> None:
    for number in range(35):
        tell(cast, "agency", number)
        tell(cast, "client", number)
    assert_fine(look("/notices/", user=cast.nora, width=width, scheme=scheme))
    assert_fine(look("/notices/", user=cast.tess, host=host_of(cast.acme), width=width, scheme=scheme))


@pytest.mark.parametrize(("width", "scheme"), MODES)
def test_the_settings_on_both_hosts(look: Look, cast: Cast, width: int, scheme: str) -> None:
    thresholds.choose(sub_account=cast.acme, audience="agency", wishes={"credit": 10**15, "basic_minute": 90}, by=TESTS)
    assert_fine(look("/settings/alerts/", user=cast.nora, width=width, scheme=scheme))
    assert_fine(look(f"/sub-accounts/{cast.acme.public_id}/alerts/", user=cast.nora, width=width, scheme=scheme))
    assert_fine(look("/settings/alerts/", user=cast.paul, host=host_of(cast.acme), width=width, scheme=scheme))
