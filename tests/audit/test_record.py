"""What stands in the log: no secrets, nothing changed afterwards, nothing removed before its time."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.db.utils import Error, IntegrityError

from agency import audit, deeds
from agency.models import Agency, AuditRecord
from agency.tasks import forget_audit_records
from kit import clock
from kit.ids import moment_of
from tests.cast import TESTS, Cast

SECRETS: list[dict[str, Any]] = [
    {"password": "correct horse"},
    {"new_password": "correct horse"},
    {"token": "abc"},
    {"hop_token": "abc"},
    {"client_secret": "abc"},
    {"secret_hash": "abc"},
    {"api_key": "abc"},
    {"deeper": {"list": [{"signing_key": "abc"}]}},
    {"note": "sk_" + "live_4eC39HqLyjWDarjtT1"},
    {"note": "ask whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    {"note": "cnp_" + "x" * 40},
    {"note": "pbkdf2_sha256$1000000$salt$hash"},
    {"note": "0123456789abcdef" * 4},
    {"note": "__Host-session=abc"},
    {"note": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc"]},
]


class TestSecrets:
    @pytest.mark.parametrize("canary", SECRETS, ids=lambda canary: next(iter(canary)))
    def test_k03_a_deed_that_would_record_a_secret_fails_where_it_is_written(self, cast: Cast, canary: dict[str, Any]) -> None:
        for side in ("before", "after"):
            with pytest.raises(audit.SecretInTheLog) as raised:
                audit.record("test.made", by=TESTS, agency=cast.northlight, **{side: canary})  # type: ignore[arg-type]
            assert str(next(iter(canary.values()))) not in str(raised.value)

    def test_k03_in_production_it_is_blanked_and_the_deed_goes_on(self, cast: Cast, settings: LazySettings) -> None:
        settings.TESTING = False
        for canary in SECRETS:
            made = audit.record(
                "test.made", by=TESTS, agency=cast.northlight, subject="cnp_" + "x" * 40, after={"plain": "stays", **canary}
            )
            stored = AuditRecord.objects.get(pk=made.pk)
            assert stored.after["plain"] == "stays"
            assert audit.REDACTED in str(stored.after)
            assert stored.subject == audit.REDACTED
            assert not any(secret in str(stored.after) for secret in ("correct horse", "abc", "4eC39", "MfKQ9", "xxxx", "salt", "01234"))

    def test_what_only_speaks_of_secrets_is_recorded(self, cast: Cast) -> None:
        after = {
            "text": "Basic minutes, and how to reset your password: ask us. sk-8 and cnp_ab12cd34",
            "password_changed": True,
            "secrets": 2,
            "prefix": "cnp_ab12cd34",
            "token": "",
        }
        assert audit.record("test.made", by=TESTS, agency=cast.northlight, after=after).after == after


def test_the_id_begins_with_the_moment_and_sorts_as_it_was_made(cast: Cast) -> None:
    made = [audit.record("test.made", by=TESTS, agency=cast.northlight, subject=str(n)) for n in range(50)]
    assert [row.subject for row in AuditRecord.objects.filter(action="test.made").order_by("id")] == [str(n) for n in range(50)]
    assert all(timedelta(0) <= row.at - moment_of(row.pk) < timedelta(milliseconds=1) for row in made)


def aged(agency: Agency, days: int, action: str = "chatbot.changed", count: int = 1) -> list[AuditRecord]:
    """Records that were made so many days ago."""
    with clock.at(clock.now() - timedelta(days=days)):
        return [audit.record(action, by=TESTS, agency=agency) for _ in range(count)]


def refused(sql: str, *params: Any) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, params)
    except Error as error:
        return "append-only" in str(error)
    return False


class TestRetention:
    def test_nothing_goes_while_the_agency_keeps_everything(self, cast: Cast) -> None:
        aged(cast.northlight, 4000)
        assert audit.forget_past() == 0

    def test_k05_what_is_past_its_time_goes_and_leaves_one_record(self, cast: Cast) -> None:
        agency = cast.northlight
        audit.keep_for(agency=agency, days=730, by=cast.nora.as_actor())
        aged(agency, 800, count=3)
        younger = aged(agency, 729)
        of_rival = aged(cast.harbour, 4000)
        forget_audit_records()
        left = AuditRecord.objects.filter(action="chatbot.changed")
        assert {row.pk for row in left} == {row.pk for row in (*younger, *of_rival)}
        told = AuditRecord.objects.get(action="audit.forgotten")
        assert told.agency == agency
        assert told.after["records"] == 3
        assert told.after["until"][:4] == f"{(clock.now() - timedelta(days=730)):%Y}"
        forget_audit_records()
        assert AuditRecord.objects.filter(action="audit.forgotten").count() == 1

    def test_k05_money_and_the_logs_own_records_stay(self, cast: Cast) -> None:
        agency = cast.northlight
        audit.keep_for(agency=agency, days=365, by=cast.nora.as_actor())
        for action in deeds.DEEDS:
            aged(agency, 4000, action)
        audit.forget_past()
        left = set(AuditRecord.objects.filter(agency=agency, at__lt=clock.now() - timedelta(days=3999)).values_list("action", flat=True))
        assert left == {action for action, deed in deeds.DEEDS.items() if deed.kind in (deeds.Kind.MONEY, deeds.Kind.LOG)}

    def test_k05_nobody_gets_past_the_triggers(self, cast: Cast) -> None:
        agency = cast.northlight
        young, old = aged(agency, 300)[0], aged(agency, 4000)[0]
        claims = f"SELECT set_config('canopy.audit_forgets', '{agency.pk}', true)"
        remove, empty = "DELETE FROM agency_auditrecord WHERE id = %s", "TRUNCATE agency_auditrecord"
        for kept in (None, 365):
            audit.keep_for(agency=agency, days=kept, by=TESTS)
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SELECT set_config('canopy.audit_forgets', '', true)")
            assert refused(remove, old.pk)
            assert refused("UPDATE agency_auditrecord SET subject = 'x' WHERE id = %s", old.pk)
            with connection.cursor() as cursor:
                cursor.execute(claims)
            assert refused(remove, young.pk)
            assert refused("UPDATE agency_auditrecord SET subject = 'x' WHERE id = %s", old.pk)
            assert refused(empty)
            assert refused(remove, old.pk) is (kept is None)

    def test_k05_no_shorter_time_gets_in(self, cast: Cast) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            Agency.objects.filter(pk=cast.northlight.pk).update(audit_kept_days=364)

    def test_one_night_does_not_take_for_ever(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(audit, "MOST_FORGOTTEN", 2)
        audit.keep_for(agency=cast.northlight, days=365, by=TESTS)
        aged(cast.northlight, 500, count=3)
        assert [audit.forget_past() for _ in range(3)] == [2, 1, 0]
