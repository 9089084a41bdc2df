"""A sub-account's page, editing it, the agency's home and the switcher."""

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agency.models import AuditRecord, User
from credits import ledger
from subaccounts import assist, figures, opening, overview, switching
from subaccounts.models import Access, SubAccount
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of


def used(sub_account: SubAccount, amount: int) -> None:
    sources = sub_account.credit_sources("credit")
    ledger.spend(
        sources=sources,
        amount=amount,
        key=f"t:{uuid4()}",
        kind="ai_reply",
        contact="Jane Doe",
        by=TESTS,
        sub_account_id=sub_account.public_id,
    )


def test_d06_the_page_shows_figures_lines_people_and_address(cast: Cast) -> None:
    figures.add(cast.acme, messages=17, conversations=4, leads=2)
    used(cast.acme, 3)

    page = Visitor(PLATFORM, cast.nora).get(f"/sub-accounts/{cast.acme.public_id}/").content.decode()

    assert "opened Acme Plumbing" in page
    assert "opened Koala Legal" not in page
    for words in (
        "Acme Plumbing",
        "Jane Doe",
        "AI reply",
        "−3",
        "+100",
        "Paul Acme",
        "Tess Acme",
        "http://acme-plumbing.localhost:8000/",
        ">17<",
    ):
        assert words in page, words


def test_a_member_sees_a_granted_client_without_credits(cast: Cast) -> None:
    mia = Visitor(PLATFORM, cast.mia)

    page = mia.get(f"/sub-accounts/{cast.acme.public_id}/")

    assert page.status_code == 200
    assert "Credits" not in page.content.decode()
    assert mia.get(f"/sub-accounts/{cast.koala.public_id}/").status_code == 404


@pytest.mark.parametrize("page", ["", "edit/", "suspension/", "opened/"])
def test_a02_the_pages_of_another_agencys_client_are_not_found(cast: Cast, page: str) -> None:
    nora = Visitor(PLATFORM, cast.nora)

    foreign = nora.get(f"/sub-accounts/{cast.beacon.public_id}/{page}")
    unknown = nora.get(f"/sub-accounts/{uuid4()}/{page}")

    assert foreign.status_code == unknown.status_code == 404


def test_editing_writes_what_changed_and_nothing_else(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    form = {
        "name": "Acme Pipes",
        "contact_first_name": "Paul",
        "contact_last_name": "Acme",
        "contact_email": "x@y.example",
        "balance_visibility": "shown",
    }

    answer = nora.post(
        f"/sub-accounts/{cast.acme.public_id}/edit/",
        {**form, "slug": "taken-over", "status": "removed", "agency": cast.harbour.pk, "is_primary": "on", "credit_mode": "reselling"},
    )

    acme = cast.acme
    assert answer.status_code == 302
    assert (acme.name, acme.contact_email, acme.status, acme.agency, acme.credit_mode) == (
        "Acme Pipes",
        "x@y.example",
        "ready",
        cast.northlight,
        "manual",
    )
    record = AuditRecord.objects.get(action="sub_account.edited")
    assert record.before["name"] == "Acme Plumbing"
    assert "city" not in record.after


@pytest.mark.parametrize("field", ["name", "business_name", "contact_first_name", "contact_last_name"])
def test_e05_a_name_is_no_web_address_after_editing_either(cast: Cast, field: str) -> None:
    form = {"name": "Acme Plumbing", "balance_visibility": "by_mode", field: "Locked: https://evil.example"}

    answer = Visitor(PLATFORM, cast.nora).post(f"/sub-accounts/{cast.acme.public_id}/edit/", form)

    assert "cannot contain a web address" in answer.content.decode()
    assert "evil" not in str(SubAccount.objects.filter(pk=cast.acme.pk).values().get())


def test_without_the_pool_it_stops_with_its_own_credits(cast: Cast) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(pool_fallback="off")

    used(cast.acme, 100)
    with pytest.raises(ledger.InsufficientCredits):
        used(cast.acme, 1)


def test_the_home_page_counts_as_d07_to_d10_say(cast: Cast) -> None:
    figures.add(cast.acme, messages=17, conversations=4, leads=2)
    figures.add(cast.koala, messages=2, leads=1)
    figures.add(cast.beacon, messages=1000, conversations=1, leads=9)

    key = overview.key_figures(cast.northlight, SubAccount.objects.of(cast.northlight))

    assert (key.clients, key.active, key.messages, key.leads) == (SubAccount.objects.of(cast.northlight).clients().count(), 1, 19, 3)


def test_the_home_page_tells_what_happened_and_warns_of_a_low_pool(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    used(cast.acme, 3)
    calm = nora.get("/home/").content.decode()
    ledger.spend(sources=[cast.northlight.pool("credit")], amount=950, key=f"t:{uuid4()}", kind="campaign_message", by=TESTS)
    low = nora.get("/home/").content.decode()

    assert "used 3 credits for 1 AI reply" in calm
    assert "opened Koala Legal" in calm
    assert "Low: replies stop" not in calm
    assert "Low: replies stop" in low


def test_a_new_agency_is_told_what_to_do_next(cast: Cast) -> None:
    owner = User.objects.create_user(email="fresh@owner.example", first_name="Fresh", last_name="Owner")
    agency = opening.open_agency(owner=owner, name="Fjord Media", slug="fjord-media", by=TESTS)
    page = Visitor(PLATFORM, owner).get("/home/").content.decode()

    assert "Open a sub-account for your first client" in page
    assert [step.is_done for step in overview.steps(agency, owner)] == [False] * 5
    opening.open_sub_account(agency=agency, first_name="A", last_name="B", email="a@b.example", slug="first-client", by=TESTS)
    assert overview.steps(agency, owner)[0].is_done


@pytest.mark.parametrize(("address", "budget"), [("/home/", 24), ("/sub-accounts/", 18)])
def test_query_budgets(cast: Cast, address: str, budget: int) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    nora.get(address)

    with CaptureQueriesContext(connection) as queries:
        nora.get(address)

    assert len(queries) <= budget, [query["sql"][:120] for query in queries]


def test_s01_the_switcher_lists_what_one_may_enter_the_recent_first(cast: Cast) -> None:
    nora, mia = cast.nora.memberships.get(), cast.mia.memberships.get()
    assist.begin(user=cast.nora, sub_account=cast.koala)

    of_nora = [account.name for account in switching.accounts_for(cast.nora, nora)]
    of_mia = [account.name for account in switching.accounts_for(cast.mia, mia)]

    assert of_nora[0] == "Koala Legal"
    assert set(of_nora) == {"Acme Plumbing", "Koala Legal", "Northlight Digital (your own)"}
    assert of_mia == ["Acme Plumbing"]


def test_the_switcher_is_capped(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switching, "SHOWN", 2)
    assist.begin(user=cast.nora, sub_account=cast.koala)

    assert len(switching.accounts_for(cast.nora, cast.nora.memberships.get())) == 2


def test_e07_a_client_of_several_sub_accounts_finds_links_to_the_others(cast: Cast) -> None:
    assert switching.accounts_for(cast.paul, None, cast.acme)[0].is_current
    Access.objects.create(sub_account=cast.koala, user=cast.paul, role="sub_account_admin")

    others = [account for account in switching.accounts_for(cast.paul, None, cast.acme) if not account.is_current]

    assert [(account.name, account.url, account.is_link) for account in others] == [
        ("Koala Legal", "http://koala-legal.localhost:8000/", True)
    ]


def test_h06_a_client_cannot_see_the_agencys_pages(cast: Cast) -> None:
    paul = Visitor(host_of(cast.acme), cast.paul)

    for page in ("/home/", "/sub-accounts/", f"/sub-accounts/{cast.koala.public_id}/"):
        assert paul.get(page).status_code == 404
