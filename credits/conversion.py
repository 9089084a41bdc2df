"""How many units arrive where a unit has another price (decision 12). Arithmetic alone, in whole steps and fractions: no float, no row."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from kit.refusal import Refusal


class NothingArrives(Refusal):
    code = "nothing_arrives"
    default_message = "This is worth less than the smallest part of a unit at the destination's price. Nothing was moved. Move more."


@dataclass(frozen=True, slots=True)
class Conversion:
    """What moving `amount` steps does. `taken` leave the source and `received` arrive at the destination, of which
    `from_converted` are what earlier conversions of the agency left over and `from_pool` what its pool adds.
    """

    amount: int
    taken: int
    received: int
    from_converted: int = 0
    from_pool: int = 0

    @property
    def kept(self) -> int:
        """What of the amount stays at the source, because it would not make one step more."""
        return self.amount - self.taken

    @property
    def carried(self) -> int:
        """What arrives of the source's own lots."""
        return self.received - self.from_pool


def convert(amount: int, ratio: Fraction, *, converted: int, is_to_pool: bool) -> Conversion:
    """`ratio` is the price at the source ÷ the price at the destination; `converted` what earlier conversions left over.

    What arrives is rounded down to a whole step, and no more is taken than makes it, so less than one step's worth is lost.
    Where more arrives than leaves, the surplus is taken from what is left over, then from the pool; a pool adds nothing to itself.
    Raises `NothingArrives`.
    """
    worth = amount * ratio.numerator // ratio.denominator
    if worth == 0:
        raise NothingArrives
    taken = -(-worth * ratio.denominator // ratio.numerator)
    surplus = max(0, worth - taken)
    from_converted = min(surplus, converted)
    from_pool = 0 if is_to_pool else surplus - from_converted
    return Conversion(amount, taken, min(worth, taken) + from_converted + from_pool, from_converted, from_pool)


def shares(takes: Sequence[int], total: int) -> list[int]:
    """`total` divided as `takes` are to each other, in whole steps that sum to `total` exactly: differences of cumulative floors."""
    whole = sum(takes)
    reached = [0, *(so_far * total // whole for so_far in itertools.accumulate(takes))]
    return [after - before for before, after in itertools.pairwise(reached)]
