"""How hard a password is to guess for somebody who knows its person: the estimate of zxcvbn, their own words counted out."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from zxcvbn import zxcvbn

from agency.models import User

ENOUGH = 3
SCORED_LENGTH = 40
"""The work grows with the length much faster than the answer changes: what comes behind is not looked at."""
WORDS_LOOKED_AT = 24
SHORTEST_WORD = 3
LABELS = ("Very easy to guess", "Easy to guess", "Could be guessed", "Hard to guess", "Very hard to guess")
OWN_WORDS = "It is made of your own name, address or agency, and everybody who wants in knows those."

# zxcvbn keeps the words of a call in a table of its module: two calls at once would score with each other's.
_one_at_a_time = Lock()


@dataclass(frozen=True)
class Estimate:
    """`score` from 0 to 4, as zxcvbn gives them; `advice` in whole sentences, empty when there is none to give."""

    score: int
    advice: str = ""

    @property
    def is_enough(self) -> bool:
        return self.score >= ENOUGH

    @property
    def label(self) -> str:
        return LABELS[self.score]

    @property
    def tone(self) -> str:
        return "good" if self.is_enough else "bad"


def estimate(password: str, words: Iterable[str] = ()) -> Estimate:
    """How hard `password` is to guess. What of it is among `words` (names, addresses) counts as one letter."""
    scored = password[:SCORED_LENGTH]
    own = pieces(words)
    whole, left = _scored(scored, own), _without(scored, own)
    rest = whole if left == scored else _scored(left, [])
    if rest.score < whole.score and not rest.is_enough:
        return Estimate(rest.score, OWN_WORDS)
    return whole


def pieces(words: Iterable[str]) -> list[str]:
    """What an attacker would try: each word whole and in its parts, the long ones first."""
    found = {piece for word in words for piece in (word.lower(), *re.split(r"[\W_]+", word.lower())) if len(piece) >= SHORTEST_WORD}
    return sorted(found, key=lambda piece: (-len(piece), piece))[:WORDS_LOOKED_AT]


def words_of(user: User) -> list[str]:
    """What everybody knows about a person, who need not be saved yet."""
    agencies = [user.realm.name] if user.realm_id and user.realm else []
    if user.pk:
        agencies += user.memberships.values_list("agency__name", flat=True)
    return [user.email, user.first_name, user.last_name, settings.PLATFORM_NAME, *agencies]


def metered(field: forms.Field) -> None:
    """Show the strength of what is typed into this field, below it."""
    field.has_meter = True  # type: ignore[attr-defined]


class StrengthValidator:
    """A password validator of Django's: refuses what scores less than `ENOUGH`."""

    def validate(self, password: str, user: User | None = None) -> None:
        found = estimate(password, words_of(user) if user is not None else ())
        if not found.is_enough:
            raise ValidationError(f"This password is too easy to guess. {found.advice}".strip(), code="password_too_weak")

    def get_help_text(self) -> str:
        return "Your password must be hard to guess, also for somebody who knows you: a few uncommon words in a row are good."


def _scored(password: str, words: list[str]) -> Estimate:
    if not password:
        return Estimate(0)
    with _one_at_a_time:
        found = zxcvbn(password, user_inputs=words)
    advice = [found["feedback"]["warning"], *found["feedback"]["suggestions"]]
    return Estimate(found["score"], " ".join(sentence for sentence in advice if sentence))


def _without(password: str, words: list[str]) -> str:
    for word in words:
        password = re.sub(re.escape(word), word[0], password, flags=re.IGNORECASE)
    return password
