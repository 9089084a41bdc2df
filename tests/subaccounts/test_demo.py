"""The demo data: written by the deeds, whole or not at all, and never twice."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db.models import F, Sum, Value
from django.db.models.functions import Concat

from agency.models import Agency, AuditRecord, User
from credits import checks
from credits.models import Entry
from kit import clock
from kit.models import OutboxMessage
from subaccounts.management.commands import _demo, _demo_cast
from subaccounts.models import DailyFigures, Domain, SubAccount, Suspension
from subaccounts.tenancy import enter
from tests.cast import Cast
from workspace.models import Faq, Message


@pytest.fixture
def empty_stage(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cast of the tests makes room for that of the demo, which has the same names."""
    for model, field in ((Agency, "slug"), (SubAccount, "slug"), (Domain, "domain"), (User, "email")):
        model.objects.update(**{field: Concat(Value("x"), F(field))})  # type: ignore[attr-defined]
    monkeypatch.setattr(_demo, "DAYS", 3)


def test_the_demo_is_consistent(empty_stage: None) -> None:
    out = StringIO()

    call_command("seed_demo", stdout=out)

    northlight = Agency.objects.get(slug="northlight")
    assert set(SubAccount.objects.of(northlight).clients().values_list("name", flat=True)) == {
        "Acme Plumbing",
        "Koala Legal",
        "Sunrise Cleaning",
    }
    assert checks.audit() == []
    demo = SubAccount.objects.filter(agency__slug__in=["northlight", "harbour"])
    replies = DailyFigures.objects.filter(sub_account__in=demo).aggregate(sum=Sum("replies"))["sum"]
    assert replies == Entry.objects.filter(kind="ai_reply", sub_account_id__in=demo.values("public_id")).count() > 0
    assert f" {replies} replies" in out.getvalue()
    assert not Suspension.objects.filter(sub_account__in=demo, lifted_at=None).exists()
    assert set(northlight.invitations.open().values_list("email", flat=True)) == {"omar@northlight.example", "ida@fjord-bakery.example"}
    own = [f"credentials:{user.public_id}" for user in User.objects.in_realm(northlight)]
    assert not OutboxMessage.objects.filter(key__in=own).exists()
    with enter(SubAccount.objects.select_related("agency").get(slug="acme-plumbing")):
        assert Faq.objects.count() >= 20
        assert Message.objects.filter(role=Message.BOT, outcome="").exists()
    assert AuditRecord.objects.filter(agency=northlight, at__gt=clock.now()).count() == 0


def test_a_second_run_changes_nothing(empty_stage: None) -> None:
    call_command("seed_demo", stdout=StringIO())
    before = (Agency.objects.count(), Entry.objects.count(), AuditRecord.objects.count())
    out = StringIO()

    call_command("seed_demo", stdout=out)

    assert "there already" in out.getvalue()
    assert (Agency.objects.count(), Entry.objects.count(), AuditRecord.objects.count()) == before


def test_the_demo_passwords_are_the_ones_it_prints(empty_stage: None) -> None:
    out = StringIO()
    call_command("seed_demo", stdout=out)

    for email in ("nora@northlight.example", "paul@acme-plumbing.example"):
        assert f"{email}  {_demo_cast.PASSWORD}" in out.getvalue()
        user = User.objects.get(email=email)
        assert user.check_password(_demo_cast.PASSWORD)
        assert not user.must_change_password


def test_the_clock_goes_back_to_now(db: None) -> None:
    then = clock.now().replace(year=2020)

    with clock.at(then):
        assert clock.now() == then
        assert clock.month_start("UTC").year == 2020
    assert clock.now().year > 2020
