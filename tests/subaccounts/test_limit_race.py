"""The plan's limit holds when many open at once, on real connections."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection, transaction

from agency.models import Agency, User
from subaccounts import opening
from subaccounts.models import SubAccount
from tests.cast import TESTS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def agency() -> Agency:
    owner = User.objects.create_user(email=f"owner-{uuid4().hex}@race.example")
    made = opening.open_agency(owner=owner, name="Race", slug=f"race-{uuid4().hex[:12]}", by=TESTS)
    made.max_sub_accounts_override = 2
    made.save()
    return made


def open_one(agency: Agency, name: str, key: object = None) -> str:
    try:
        opened = opening.open_sub_account(
            agency=agency,
            first_name=name,
            last_name="X",
            email=f"{uuid4().hex}@race.example",
            slug=f"r-{uuid4().hex[:20]}",
            by=TESTS,
            key=key,
        )
        return "opened" if opened.is_new else "again"
    except opening.SubAccountLimitReached:
        return "refused"
    finally:
        connection.close()


def test_of_thirty_at_once_with_one_place_left_exactly_one_opens(agency: Agency) -> None:
    open_one(agency, "First")

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda number: open_one(agency, f"N{number}"), range(30)))

    assert sorted(set(answers)) == ["opened", "refused"]
    assert answers.count("opened") == 1
    assert SubAccount.objects.of(agency).clients().count() == 2


def test_the_same_form_from_eight_tabs_opens_one(agency: Agency) -> None:
    key = uuid4()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: open_one(agency, "Same", key), range(8)))

    assert answers.count("opened") == 1
    assert answers.count("again") == 7


def test_nothing_is_spent_after_a_suspension(agency: Agency) -> None:
    """F02: a suspension waits for whoever asked inside a transaction, and whoever asks later is refused."""
    from threading import Event

    from subaccounts import lifecycle

    client = opening.open_sub_account(
        agency=agency, first_name="A", last_name="B", email="", has_login=False, slug=f"r-{uuid4().hex[:20]}", by=TESTS
    )
    asked, suspending, order = Event(), Event(), []

    def spend() -> None:
        with transaction.atomic():
            lifecycle.may_act(client.sub_account)
            asked.set()
            suspending.wait(5)
            order.append("spent")
        connection.close()

    def suspend() -> None:
        asked.wait(5)
        suspending.set()
        lifecycle.suspend(sub_account=client.sub_account, by=TESTS)
        order.append("suspended")
        connection.close()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(spend), pool.submit(suspend)]:
            done.result()

    assert order == ["spent", "suspended"]
    with pytest.raises(lifecycle.Suspended):
        lifecycle.may_act(client.sub_account)
