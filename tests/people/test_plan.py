"""The agency's own plan."""

from datetime import timedelta

import pytest
import time_machine
from django.db import connection, transaction
from django.db.utils import IntegrityError

from agency.models import Agency, AuditRecord, Plan
from billing import plans
from kit import clock
from subaccounts import invitations
from subaccounts.models import SubAccount
from tests.cast import PLATFORM, TESTS, Cast, Visitor


def test_the_seeded_plans_have_the_published_limits(cast: Cast) -> None:
    offered = list(Plan.objects.on_offer())
    assert [(plan.code, plan.max_sub_accounts) for plan in offered] == [
        ("starter", 3),
        ("growth", 5),
        ("scale-10", 10),
        ("scale-20", 20),
        ("agency", None),
    ]
    assert (offered[-1].price_minor, offered[-1].max_chatbots) == (59_900, 50)
    assert [plan.code for plan in offered if plan.has_white_label and plan.has_reselling] == ["agency"]


def test_the_page_shows_limits_beside_use(cast: Cast) -> None:
    page = Visitor(PLATFORM, cast.nora).get("/billing/plan/").content.decode()
    assert "Agency" in page
    assert "$599.00" in page
    assert "14" in page


def test_during_the_trial_another_plan_can_be_chosen(cast: Cast) -> None:
    answer = Visitor(PLATFORM, cast.adam).post("/billing/plan/", {"plan": "growth"})
    assert answer.status_code == 302
    assert cast.northlight.plan.code == "growth"
    record = AuditRecord.objects.get(action="plan.chosen", agency=cast.northlight)
    assert (record.before, record.after) == ({"plan": "agency"}, {"plan": "growth"})


def test_a_plan_too_small_is_refused_with_what_to_remove(cast: Cast) -> None:
    Plan.objects.filter(code="starter").update(max_sub_accounts=1)
    SubAccount.objects.filter(pk=cast.acme.pk).update(chatbots=7)
    page = Visitor(PLATFORM, cast.nora).post("/billing/plan/", {"plan": "starter"})
    assert page.status_code == 409
    assert "1 of your 2 sub-accounts and 2 of your 7 chatbots" in page.content.decode()
    assert cast.northlight.plan.code == "agency"


def test_a_place_that_an_invitation_promises_is_in_use(cast: Cast) -> None:
    wish = {"email": "ida@fjord.example", "business_name": "Fjord Bakery", "slug": "fjord-bakery", "inviter": cast.nora, "by": TESTS}
    promised = invitations.invite_sub_account(agency=cast.northlight, **wish)
    Plan.objects.filter(code="starter").update(max_sub_accounts=2)
    with pytest.raises(plans.PlanTooSmall, match="1 of your 3 sub-accounts"):
        plans.choose(cast.northlight, Plan.objects.get(code="starter"), TESTS)
    invitations.revoke(invitation=promised, by=TESTS)
    assert plans.choose(cast.northlight, Plan.objects.get(code="starter"), TESTS).plan.code == "starter"


def test_a_limit_set_by_staff_goes_before_the_plans(cast: Cast) -> None:
    Plan.objects.filter(code="starter").update(max_sub_accounts=1)
    Agency.objects.filter(pk=cast.northlight.pk).update(max_sub_accounts_override=8)
    assert plans.choose(cast.northlight, Plan.objects.get(code="starter"), cast.nora.as_actor()).plan.code == "starter"


def test_after_the_trial_it_cannot_be_changed_here(cast: Cast) -> None:
    with time_machine.travel(clock.now() + timedelta(days=14, seconds=1), tick=False), pytest.raises(plans.TrialOver):
        plans.choose(cast.northlight, Plan.objects.get(code="growth"), cast.nora.as_actor())


def test_a_plan_not_on_offer_cannot_be_chosen(cast: Cast) -> None:
    Plan.objects.filter(code="growth").update(is_offered=False)
    Visitor(PLATFORM, cast.nora).post("/billing/plan/", {"plan": "growth"})
    assert cast.northlight.plan.code == "agency"


@pytest.mark.parametrize("change", ["update", "delete"])
def test_the_audit_log_is_append_only(cast: Cast, change: str) -> None:
    rows = AuditRecord.objects.filter(agency=cast.northlight)
    assert rows.exists()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        rows.update(action="x") if change == "update" else rows._raw_delete(rows.db)


def test_the_audit_log_cannot_be_emptied(cast: Cast) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE agency_auditrecord")
