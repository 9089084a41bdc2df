"""Every page of the staff's host in a real browser: readable, no wider than the window, no complaint of the browser's."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from agency.models import User
from credits import audits, ledger
from credits.models import Entry, Grant, Hold
from kit import clock
from tests.cast import TESTS, Cast
from tests.staff.conftest import HOST, browser_of
from tests.ui.conftest import Sight, look

__all__ = ["look"]
Look = Callable[..., Sight]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_page_of_staff(look: Look, cast: Cast, sara: User, width: int, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.ui.conftest.Visitor", lambda host, user, **kwargs: browser_of(user, host, **kwargs))
    wallet = cast.acme.wallet("credit")
    ledger.set_threshold(wallet=wallet, low_at=1000, by=TESTS)
    ledger.hold(sources=[wallet], amount=1, key="held", kind="call", by=TESTS, expires_at=clock.now() + timedelta(minutes=5))
    run = audits.run(by=TESTS)
    rows = {"entry": Entry.objects.first(), "grant": Grant.objects.first(), "hold": Hold.objects.first(), "unit": wallet.unit}
    paths = [
        "/",
        "/security/",
        "/credits/",
        *(f"/credits/{model}/" for model in ("unit", "platformrate", "deal", "wallet", "entry", "grant", "hold", "key", "lowbalance")),
        *(f"/credits/{model}/" for model in ("crossing", "auditrun", "unit/add", "deal/add", "unit/credit/delete")),
        *(f"/credits/{model}/{row.pk}/change/" for model, row in rows.items() if row),
        f"/credits/wallet/{wallet.pk}/change/",
        f"/credits/wallet/{wallet.pk}/adjust/",
        f"/credits/auditrun/{run.pk}/change/",
    ]
    sight = look("/", user=sara, host=HOST, width=width, scheme=scheme)
    wrong: dict[str, Any] = {}
    for path in paths:
        sight.complaints.clear()
        answer = sight.page.goto(f"http://{HOST}{path}")
        found = [*sight.complaints, *sight.violations()]
        if sight.overflow() > 0:
            found.append(f"{sight.overflow()} pixels too wide")
        if answer.status != 200:
            found.append(f"answered {answer.status}")
        if found:
            wrong[path] = found
    assert wrong == {}
