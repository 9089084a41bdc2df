"""K: the audit log has no gaps and gives nothing away."""

from collections.abc import Callable

from agency.models import AuditRecord
from subaccounts import assist
from subaccounts.tenancy import enter
from tests.cast import PLATFORM, Cast, Visitor, host_of
from tests.workspace.conftest import make_chatbot


def test_k05_as_many_records_as_successful_changes(cast: Cast) -> None:
    with enter(cast.acme) as acme:
        chatbot = make_chatbot(acme)
    nora, paul = Visitor(PLATFORM, cast.nora), Visitor(host_of(acme), cast.paul)
    client = f"/sub-accounts/{acme.public_id}"
    changes: list[Callable[[], int]] = [
        lambda: nora.post("/settings/", {"name": "Northlight", "time_zone": "UTC"}).status_code,
        lambda: nora.post("/settings/audit/", {"days": "365"}).status_code,
        lambda: nora.post(f"{client}/suspension/", {"policy": "read_only", "reason": "other", "note": "x"}).status_code,
        lambda: nora.post(f"{client}/restoration/").status_code,
        lambda: nora.post("/settings/audit/", {"days": "1"}).status_code,
        lambda: nora.post(f"{client}/restoration/").status_code,
        lambda: paul.post("/settings/", {"name": "Acme", "unavailable_message": "Later"}).status_code,
        lambda: paul.post(f"/chatbots/{chatbot.public_id}/faqs/new/", {"question": "Open?", "answer": "Yes"}).status_code,
        lambda: paul.post(f"/chatbots/{chatbot.public_id}/faqs/new/", {"question": "", "answer": ""}).status_code,
        lambda: paul.post(f"/chatbots/{chatbot.public_id}/removal/").status_code,
        lambda: Visitor(PLATFORM, cast.mia).post(f"{client}/restoration/").status_code,
        lambda: Visitor(host_of(acme), cast.tess).post("/settings/", {"name": "Tess", "unavailable_message": "x"}).status_code,
    ]
    written = []
    for change in changes:
        before = AuditRecord.objects.count()
        status = change()
        written.append((status in (302, 303), AuditRecord.objects.count() - before))
    assert [succeeded for succeeded, _ in written].count(True) >= 6
    assert all(records == int(succeeded) for succeeded, records in written), written


def test_c09_ten_changes_in_an_assist_have_ten_records_with_both_names_in_both_logs(cast: Cast) -> None:
    acme = cast.acme
    begun = assist.begin(user=cast.nora, sub_account=acme)
    nora = Visitor(host_of(acme), cast.nora)
    session = nora.session
    session["assist"] = str(begun.public_id)
    session.save()
    before = set(AuditRecord.objects.values_list("pk", flat=True))
    for number in range(10):
        assert nora.post("/settings/", {"name": f"Acme {number}", "unavailable_message": "Later"}).status_code == 302
    made = AuditRecord.objects.exclude(pk__in=before)
    assert {(row.actor_id, row.on_behalf_of.partition(" ")[0]) for row in made} == {(str(cast.nora.public_id), "Acme")}
    assert made.count() == 10
    for reader in (Visitor(PLATFORM, cast.adam), Visitor(host_of(acme), cast.paul)):
        page = reader.get("/audit/", {"assist": str(begun.public_id)})
        assert {row.pk for row in made} <= {line.record.pk for line in page.context["lines"]}
        assert page.content.decode().count("Nora Lind</strong> changed the workspace") == 10
