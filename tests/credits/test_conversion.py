"""How many units arrive at another price: arithmetic, as properties (G15)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credits.conversion import Conversion, NothingArrives, convert, shares
from credits.models import LARGEST

amounts = st.integers(1, LARGEST)
percents = st.integers(0, 1_000_000).map(lambda hundredths: Fraction(10_000 + hundredths, 10_000))


def test_the_worked_example() -> None:
    hundred, eighty = 100 * 60, 80 * 60

    assert convert(hundred, Fraction(20, 25), converted=0, is_to_pool=False) == Conversion(hundred, hundred, eighty)


def test_what_makes_no_whole_step_stays() -> None:
    moved = convert(10, Fraction(3, 10), converted=0, is_to_pool=False)

    assert (moved.taken, moved.received, moved.kept) == (10, 3, 0)
    assert convert(12, Fraction(3, 10), converted=0, is_to_pool=False) == Conversion(12, 10, 3)
    assert convert(7, Fraction(1, 3), converted=0, is_to_pool=False).kept == 1


def test_a_surplus_comes_from_what_is_left_over_and_then_from_the_pool() -> None:
    assert convert(100, Fraction(2), converted=30, is_to_pool=False) == Conversion(100, 100, 200, from_converted=30, from_pool=70)
    assert convert(100, Fraction(2), converted=500, is_to_pool=False) == Conversion(100, 100, 200, from_converted=100)
    assert convert(100, Fraction(2), converted=30, is_to_pool=True) == Conversion(100, 100, 130, from_converted=30)


def test_less_than_a_step_is_refused() -> None:
    with pytest.raises(NothingArrives):
        convert(1, Fraction(4, 5), converted=0, is_to_pool=False)


@given(amount=amounts, source=percents, to=percents, converted=amounts, is_to_pool=st.booleans())
def test_g15_money_is_kept_to_less_than_a_step(amount: int, source: Fraction, to: Fraction, converted: int, is_to_pool: bool) -> None:
    try:
        moved = convert(amount, source / to, converted=converted, is_to_pool=is_to_pool)
    except NothingArrives:
        assert amount * source < to
        return
    worth = moved.received * to
    assert moved.taken + moved.kept == amount
    assert worth <= moved.taken * source, "never to the platform's disadvantage"
    if not is_to_pool:
        assert amount * source - worth < to, "what arrives is the most that could"
        assert moved.taken * source - worth < source, "less than a step is lost"
    assert moved.received <= moved.taken + moved.from_converted + moved.from_pool
    assert 0 <= moved.from_converted <= converted


@given(takes=st.lists(st.integers(1, 10**9), min_size=1, max_size=8), data=st.data())
def test_shares_sum_exactly_and_none_goes_the_other_way(takes: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 3 * sum(takes)))
    parts = shares(takes, total)

    assert sum(parts) == total
    assert all(part <= take for part, take in zip(parts, takes, strict=True)) or total > sum(takes)
    assert all(part >= take for part, take in zip(parts, takes, strict=True)) or total < sum(takes)
