"""What a deed adds to its day."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction

from kit import clock
from subaccounts import figures
from subaccounts.figures import Figures
from subaccounts.models import DailyFigures, MonthlyFigures
from subaccounts.tenancy import enter
from tests.cast import Cast
from tests.tenancy.conftest import Pair

LATE = datetime(2027, 3, 31, 22, 30, tzinfo=UTC)  # 1 April in Stockholm
MARCH = (date(2027, 3, 1), date(2027, 3, 31))
APRIL = (date(2027, 4, 1), date(2027, 4, 30))


def test_the_day_is_the_agencys_own(cast: Cast) -> None:
    with time_machine.travel(LATE):
        figures.add(cast.acme, messages=2, replies=1)
        figures.add(cast.acme, messages=1)
    assert figures.total(cast.acme, *APRIL) == Figures(messages=3, replies=1)
    assert figures.total(cast.acme, *MARCH) == Figures()


def test_adding_works_from_inside_the_workspace(cast: Cast) -> None:
    with time_machine.travel(LATE), enter(cast.acme):
        figures.add(cast.acme, leads=1)
    assert figures.total(cast.acme, *APRIL) == Figures(leads=1)


def test_a_deed_that_is_undone_leaves_no_figure(cast: Cast) -> None:
    with time_machine.travel(LATE):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            figures.add(cast.acme, messages=5)
            raise ZeroDivisionError
    assert figures.total(cast.acme, *APRIL) == Figures()


@pytest.mark.parametrize(("counts", "error"), [({"mesages": 1}, TypeError), ({"messages": -1}, ValueError)])
def test_a_wrong_figure_is_refused(cast: Cast, counts: dict[str, int], error: type[Exception]) -> None:
    with pytest.raises(error):
        figures.add(cast.acme, **counts)


def test_a20_an_agency_sums_its_own_clients_and_nobody_elses(cast: Cast, django_assert_num_queries: Any) -> None:
    with time_machine.travel(LATE):
        for sub_account, count in ((cast.acme, 7), (cast.koala, 11), (cast.beacon, 13)):
            figures.add(sub_account, conversations=count, seconds=count * 60)
    northlight, acme, koala = cast.northlight, cast.acme, cast.koala
    with django_assert_num_queries(1):
        assert figures.total(northlight, *APRIL) == Figures(conversations=18, seconds=1080)
    with django_assert_num_queries(1):
        by_client = figures.by_sub_account(northlight, *APRIL)
    assert by_client == {acme.pk: Figures(conversations=7, seconds=420), koala.pk: Figures(conversations=11, seconds=660)}
    assert set(figures.by_sub_account(northlight, *APRIL, among=[koala.pk])) == {koala.pk}
    assert figures.by_day(northlight, *APRIL) == {date(2027, 4, 1): Figures(conversations=18, seconds=1080)}


def test_no_count_is_lost_between_threads(pair: Pair) -> None:
    today = clock.today_in("Europe/Stockholm")
    before = figures.total(pair.one, today, today).messages

    def add(_: int) -> None:
        try:
            figures.add(pair.one, messages=1)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(add, range(60)))
    assert figures.total(pair.one, today, today).messages == before + 60
    assert DailyFigures.objects.filter(sub_account=pair.one, day=today).count() == 1


def test_a_months_figures_are_the_sums_of_its_days(cast: Cast) -> None:
    days = [DailyFigures.objects.create(sub_account=cast.acme, day=date(2027, 3, day), messages=day, leads=1) for day in (1, 15, 31)]
    with time_machine.travel(LATE):
        figures.add(cast.acme, messages=4, conversations=2)
        figures.add(cast.acme, messages=1)
    days[0].delete()
    DailyFigures.objects.filter(pk=days[1].pk).update(messages=5)
    DailyFigures.objects.filter(pk=days[2].pk).update(day=date(2027, 4, 30))

    kept = MonthlyFigures.objects.filter(sub_account=cast.acme, month__year=2027).order_by("month")

    assert [(one.month.month, one.messages, one.leads, one.conversations) for one in kept] == [(3, 5, 1, 0), (4, 36, 1, 2)]
