"""The built-in responder: finds the FAQ that answers a question, without a model and without leaving the database.

A question's words are stemmed by PostgreSQL and widened by everyday synonyms. Each word weighs as much as it is rare
among the chatbot's FAQs (inverse document frequency, Spärck Jones 1972), and a FAQ's score is the share of that weight it
covers: a word in its question counts whole, one in its answer in part, a misspelt one by its trigram similarity.
So 1.0 means every word was found, and words no FAQ has (another subject) pull the score down: below `ENOUGH` the
responder says that it does not know. Answers are plain text, never markup.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from workspace.models import Chatbot, Faq
from workspace.wording import FILLER, meaning, small_talk, wording

MAX_LENGTH = 2000
CONSIDERED_LENGTH = 400
ENOUGH = 0.33
WORTH_OFFERING = 0.18

_SEARCH = """
WITH term AS (
    SELECT exact::tsquery AS exact, asked::tsquery AS asked, anywhere::tsquery AS anywhere, word
    FROM unnest(%(exact)s::text[], %(asked)s::text[], %(anywhere)s::text[], %(words)s::text[]) AS t (exact, asked, anywhere, word)
), weighed AS (
    SELECT term.*, found, found <= 3 + 0.4 * total.faqs AS is_telling,
           ln(2 + total.faqs::float / (1 + found)) * CASE WHEN found = 0 THEN 0.7 ELSE 1 END AS weight
    FROM term,
         LATERAL (SELECT count(*) AS faqs FROM workspace_faq WHERE chatbot_id = %(chatbot)s) AS total,
         LATERAL (SELECT count(*) AS found FROM workspace_faq WHERE chatbot_id = %(chatbot)s AND search @@ term.anywhere) AS hits
), candidate AS (
    SELECT id, question, search, length(to_tsvector('english', question)) AS words, ts_rank_cd(search, %(any)s::tsquery, 1) AS rank
    FROM workspace_faq
    WHERE chatbot_id = %(chatbot)s AND (search @@ %(any)s::tsquery OR upper(question) %%> ANY (%(upper)s::text[]))
    ORDER BY rank DESC
    LIMIT 80
)
SELECT candidate.id,
       sum(weighed.weight * CASE
           WHEN candidate.search @@ weighed.exact THEN 1
           WHEN candidate.search @@ weighed.asked THEN 0.95
           WHEN candidate.search @@ weighed.anywhere THEN 0.45
           WHEN weighed.found = 0 AND length(weighed.word) > 3 AND word_similarity(weighed.word, candidate.question) >= 0.45
               THEN 0.9 * word_similarity(weighed.word, candidate.question)
           ELSE 0 END) / sum(weighed.weight) AS coverage,
       count(*) FILTER (WHERE candidate.search @@ weighed.asked) / greatest(candidate.words, 1)::float AS focus,
       word_similarity(%(text)s, candidate.question) AS similarity,
       bool_or(weighed.is_telling) AS is_telling,
       candidate.rank
FROM candidate CROSS JOIN weighed
GROUP BY candidate.id, candidate.question, candidate.words, candidate.rank
"""


@dataclass(frozen=True, slots=True)
class Match:
    """A FAQ and how well it fits: `score` from 0 to 1."""

    faq: Faq
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say. `faq` is the one it came from; `is_known` is False when the responder had to say that it does not know."""

    text: str
    is_known: bool
    faq: Faq | None = None
    confidence: float = 0.0
    matches: list[Match] = field(default_factory=list)


def answer(chatbot: Chatbot, question: str) -> Answer:
    """The best answer `chatbot` has for `question` (at most `MAX_LENGTH` characters, more is cut). Reads, writes nothing."""
    text = tidy(question)
    words = wording(chatbot)
    if said := small_talk(text, words):
        return Answer(text=said, is_known=True, confidence=1.0)
    matches = search(chatbot, text)
    if matches and matches[0].score >= ENOUGH:
        best = matches[0]
        return Answer(text=best.faq.answer, is_known=True, faq=best.faq, confidence=best.score, matches=matches)
    confidence = matches[0].score if matches else 0.0
    return Answer(text=words.unknown, is_known=False, confidence=confidence, matches=matches)


def suggest(chatbot: Chatbot, question: str) -> list[str]:
    """Up to three questions the visitor may have meant, where none was close enough to answer."""
    return [match.faq.question for match in search(chatbot, question, limit=3) if match.score >= WORTH_OFFERING]


def search(chatbot: Chatbot, question: str, limit: int = 5) -> list[Match]:
    """The `limit` FAQs of `chatbot` that fit best, best first."""
    text = tidy(question)[:CONSIDERED_LENGTH]
    terms = _terms(text)
    if not terms:
        return []
    parameters: dict[str, Any] = {
        "chatbot": chatbot.pk,
        "text": text,
        "words": terms,
        "upper": [term.upper() for term in terms if len(term) > 3] or [text.upper()],
        "exact": [_query((term,), ":A") for term in terms],
        "anywhere": [_query(meaning(term)) for term in terms],
        "asked": [_query(meaning(term), ":A") for term in terms],
        "any": " | ".join(_query(meaning(term)) for term in terms),
    }
    with connection.cursor() as cursor:
        cursor.execute(_SEARCH, parameters)
        scored = [
            (_score(coverage, focus, similarity, is_telling), rank, pk)
            for pk, coverage, focus, similarity, is_telling, rank in cursor.fetchall()
        ]
    best = sorted(scored, reverse=True)[:limit]
    faqs = Faq.objects.defer("search").in_bulk([pk for _, _, pk in best])
    return [Match(faqs[pk], round(score, 3)) for score, _, pk in best if pk in faqs]


def tidy(text: str) -> str:
    """One line of printable text, at most `MAX_LENGTH` characters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:MAX_LENGTH])
    return " ".join(printable.split())


def _score(coverage: float, focus: float, similarity: float, is_telling: bool) -> float:
    """Coverage decides; among equals the FAQ that asks for little else, then the one that reads alike.

    A question made only of words that most FAQs have ("cleaning?") says too little for any of them.
    """
    score = 0.78 * coverage + 0.14 * min(1.0, focus) + 0.08 * similarity
    return score if is_telling else min(score, ENOUGH - 0.01)


def _terms(text: str) -> list[str]:
    """The lexemes of `text` without small words, rarest kind of spelling left to the trigrams."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tsvector_to_array(to_tsvector('english', %s))", [re.sub(r"[\\'/.-]", " ", text)])
        (lexemes,) = cursor.fetchone()
    telling = [lexeme for lexeme in lexemes if lexeme not in FILLER]
    return telling[:24]


def _query(words: tuple[str, ...], weight: str = "") -> str:
    quoted = (word.replace("\\", "\\\\").replace("'", "''") for word in words)
    return "(" + " | ".join(f"'{word}'{weight}" for word in quoted) + ")"
