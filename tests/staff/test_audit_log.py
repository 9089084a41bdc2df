"""The audit log on the staff's host: every agency's, to look at and nothing else."""

from collections.abc import Callable

from agency import audit
from tests.cast import TESTS, Cast, Visitor

LIST = "/agency/auditrecord/"


def test_whoever_is_of_the_group_looks_at_every_record_and_changes_none(cast: Cast, of_group: Callable[..., Visitor]) -> None:
    made = audit.record("chatbot.changed", by=TESTS, agency=cast.northlight, subject="Front desk", after={"greeting": "Hej"})
    audit.record("chatbot.changed", by=TESTS, agency=cast.harbour, subject="Back desk")
    browser = of_group("Audit log")
    page = browser.get(LIST).content.decode()
    assert "changed the chatbot Front desk" in page
    assert "changed the chatbot Back desk" in page
    narrowed = browser.get(LIST, {"agency": "northlight", "kind": "workspace"}).content.decode()
    assert "Front desk" in narrowed
    assert "Back desk" not in narrowed
    assert "Hej" in browser.get(f"{LIST}{made.pk}/change/").content.decode()
    assert browser.post(f"{LIST}{made.pk}/change/", {"subject": "Other"}).status_code == 403
    assert browser.get(f"{LIST}add/").status_code == 404
    made.refresh_from_db()
    assert made.subject == "Front desk"


def test_nobody_else_of_the_staff_does(cast: Cast, of_group: Callable[..., Visitor]) -> None:
    assert of_group("Books", "Pricing", "Adjustments").get(LIST).status_code == 403
