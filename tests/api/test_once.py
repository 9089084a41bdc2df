"""`Idempotency-Key`: what is sent twice is done once, and what failed on our side can be sent again."""

import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction

from agency import kept_answers
from agency.models import AuditRecord, KeptAnswer
from kit import clock
from subaccounts import api as sub_accounts_api
from subaccounts.models import SubAccount, Suspension
from tests.api.program import Program, key_of, of_agency
from tests.cast import Cast

NEW = {"first_name": "Pat", "last_name": "Baker", "business_name": "Pat's Bakery", "slug": "pats-bakery", "has_login": False}


def test_the_same_request_gets_the_same_answer_and_is_done_once(cast: Cast) -> None:
    program = of_agency(cast.northlight)
    first = program.call("POST", "/sub-accounts", NEW, once="order-1")
    again = program.call("POST", "/sub-accounts", NEW, once="order-1")

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first.headers
    assert SubAccount.objects.filter(slug="pats-bakery").count() == 1


@pytest.mark.parametrize("other", ["body", "path", "method"])
def test_a_key_is_good_for_one_request(cast: Cast, other: str) -> None:
    program, acme = of_agency(cast.northlight), f"/sub-accounts/{cast.acme.public_id}"
    program.call("PATCH", acme, {"city": "Hobart"}, once="x")
    method, path, body = {
        "body": ("PATCH", acme, {"city": "Perth"}),
        "path": ("PATCH", f"/sub-accounts/{cast.koala.public_id}", {"city": "Hobart"}),
        "method": ("POST", f"{acme}/suspend", {"note": "Hobart"}),
    }[other]
    answer = program.call(method, path, body, once="x")

    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
    assert cast.acme.city == "Hobart" and not Suspension.objects.filter(sub_account=cast.acme).exists()


def test_two_programs_may_use_the_same_words(cast: Cast) -> None:
    path, body = f"/sub-accounts/{cast.acme.public_id}", {"city": "Hobart"}
    answers = [of_agency(cast.northlight).call("PATCH", path, body, once="1") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert not any("Idempotent-Replayed" in answer.headers for answer in answers)


def test_a_refusal_is_kept_and_what_was_not_understood_is_not(cast: Cast) -> None:
    program, path = of_agency(cast.northlight), f"/sub-accounts/{cast.acme.public_id}/restore"
    refused = program.call("POST", path, once="a")
    program.call("POST", f"/sub-accounts/{cast.acme.public_id}/suspend", {}, once="b")
    again = program.call("POST", path, once="a")

    assert (refused.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (409, 409, "true")
    unclear = program.call("PATCH", f"/sub-accounts/{cast.acme.public_id}", {"colour": "red"}, once="c")
    right = program.call("PATCH", f"/sub-accounts/{cast.acme.public_id}", {"city": "Hobart"}, once="c")
    assert (unclear.status_code, right.status_code) == (400, 200)


@pytest.mark.parametrize("mistake", [RuntimeError("ours"), OperationalError("away")])
def test_what_failed_on_our_side_left_nothing_and_can_be_sent_again(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, mistake: Exception
) -> None:
    program = of_agency(cast.northlight, raise_request_exception=False)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise mistake

    with monkeypatch.context() as broken:
        broken.setattr(sub_accounts_api, "_shown", fail)  # after the deed, before the answer
        failed = program.call("POST", "/sub-accounts", NEW, once="order-2")

    assert failed.status_code == (503 if isinstance(mistake, OperationalError) else 500)
    assert failed.headers["Content-Type"] == "application/problem+json"
    assert "ours" not in failed.content.decode() and "away" not in failed.content.decode()
    assert not SubAccount.objects.filter(slug="pats-bakery").exists() and not KeptAnswer.objects.exists()
    assert program.call("POST", "/sub-accounts", NEW, once="order-2").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "ключ"])
def test_a_key_is_a_short_word_of_ascii(cast: Cast, key: str) -> None:
    answer = of_agency(cast.northlight).call("PATCH", f"/sub-accounts/{cast.acme.public_id}", {}, headers={"idempotency-key": key})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_an_answer_is_kept_unreadable_for_a_day(cast: Cast) -> None:
    program, path = of_agency(cast.northlight), f"/sub-accounts/{cast.acme.public_id}"
    program.call("PATCH", path, {"city": "Hobart"}, once="day")

    assert b"Hobart" not in bytes(KeptAnswer.objects.get().body)
    with clock.at(clock.now() + timedelta(hours=23)):
        assert kept_answers.forget_old() == 0
    with clock.at(clock.now() + timedelta(hours=25)):
        assert "Idempotent-Replayed" not in program.call("PATCH", path, {"city": "Perth"}, once="day").headers
        assert KeptAnswer.objects.count() == 1
    with clock.at(clock.now() + timedelta(hours=50)):
        assert kept_answers.forget_old() == 1


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_are_done_once_and_told_the_same() -> None:
    """Each in its own connection, all with one key: one does it, the others wait for its answer."""
    cast = Cast()
    key, word, gate = key_of(cast.northlight), uuid4().hex, threading.Barrier(20)
    path, before = f"/sub-accounts/{cast.koala.public_id}", AuditRecord.objects.filter(action="sub_account.edited").count()
    answers: list[Any] = []

    def ask() -> None:
        program = Program(key)
        gate.wait()
        try:
            answers.append(program.call("PATCH", path, {"city": "Hobart"}, once=word))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert len(answers) == 20
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 19
    assert AuditRecord.objects.filter(action="sub_account.edited").count() == before + 1


@pytest.mark.django_db(transaction=True)
def test_who_waits_too_long_is_told_so() -> None:
    cast = Cast()
    key, word = key_of(cast.northlight), uuid4().hex
    began, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            kept_answers.begin(api_key=key.row, key=word, request_hash="another")
            began.set()
            done.wait(10)
            transaction.set_rollback(True)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    began.wait(5)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    try:
        answer = Program(key).call("PATCH", f"/sub-accounts/{cast.koala.public_id}", {"city": "Perth"}, once=word)
    finally:
        done.set()
        holder.join()
        connection.close()

    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (409, "in_progress", "1")
