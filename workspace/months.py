"""A client's own statement of a month, in its words."""

from dataclasses import replace
from datetime import date

from credits import monthly
from credits.monthly import Account, Movement
from subaccounts import credit_use
from subaccounts.models import SubAccount

WORDS = {
    "Allocated from the pool": "From your agency",
    "Taken back to the pool": "Taken back by your agency",
    "Moved in": "From your agency",
    "Moved out": "Moved by your agency",
    "Adjustment": "Correction by your agency",
}


def accounts(sub_account: SubAccount, month: date) -> list[Account]:
    """Each unit of its own wallets that had anything in the month; `from_pool` is what its agency paid for."""
    days = credit_use.days_of(sub_account.agency)
    found = monthly.accounts(days, month, client=sub_account.public_id)
    return [_told(account) for account in found if not account.is_empty]


def _told(account: Account) -> Account:
    return replace(account, movements=_in_words(account.movements), from_pool=_in_words(account.from_pool))


def _in_words(movements: list[Movement]) -> list[Movement]:
    return [replace(movement, words=WORDS.get(movement.words, movement.words)) for movement in movements]
