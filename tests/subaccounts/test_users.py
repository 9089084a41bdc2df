"""The Users tab: everyone of the agency and what they reach (E-01, E-13, H-13)."""

import csv
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agency.models import Agency, Membership, User
from subaccounts import people
from subaccounts.models import Access, AccessToAll
from subaccounts.people import Wish
from tests.cast import PLATFORM, Cast, Visitor


def many(agency: Agency, count: int) -> None:
    """Clients of one sub-account, without passwords."""
    made = User.objects.bulk_create(
        User(
            realm=agency, email=f"p{number:05}@many.example", handle=uuid4().hex, first_name="Pat", last_name=f"{number * 7919 % count:05}"
        )
        for number in range(count)
    )
    of = agency.sub_accounts.filter(is_primary=False).get()
    Access.objects.bulk_create(Access(sub_account=of, user=user, role="sub_account_member") for user in made)


def emails(rows: list[people.Person]) -> list[str]:
    return [row.user.email for row in rows]


def test_the_page_shows_team_and_clients_and_nobody_else(cast: Cast) -> None:
    page = Visitor(PLATFORM, cast.nora).get("/users/").content.decode()

    for name in ("Nora Lind", "Adam Okoye", "Mia Torres", "Paul Acme", "Tess Acme", "Kira Wallis"):
        assert name in page
    assert "Rita" not in page
    assert "Ben Cho" not in page


def test_roles_and_reach(cast: Cast) -> None:
    AccessToAll.objects.create(agency=cast.northlight, user=cast.kira, role="sub_account_admin")
    rows = {row.user.email.partition("@")[0]: row for row in people.page(cast.northlight, Wish()).rows}

    assert {name: row.role for name, row in rows.items()} == {
        "nora": "Agency Owner",
        "adam": "Agency Admin",
        "mia": "Agency Member",
        "paul": "Subaccount Admin",
        "tess": "Subaccount Member",
        "kira": "Subaccount Admin",
    }
    assert [name for name, row in rows.items() if row.reaches_all] == ["nora", "adam", "kira"]
    assert rows["mia"].accounts == ("Acme Plumbing",)
    assert rows["tess"].account_count == 1


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        (Wish(role="owner"), ["nora"]),
        (Wish(role="member"), ["mia"]),
        (Wish(role="sub_account_admin"), ["kira", "paul"]),
        (Wish(role="sub_account_member"), ["tess"]),
        (Wish(search="tess acme"), ["tess"]),
        (Wish(search="NORTHLIGHT.example", sort="-name"), ["nora", "mia", "adam"]),
        (Wish(search="acme", role="owner"), []),
        (Wish(search="%"), []),
    ],
)
def test_search_and_role(cast: Cast, wish: Wish, found: list[str]) -> None:
    assert [email.partition("@")[0] for email in emails(people.page(cast.northlight, wish).rows)] == found


@pytest.mark.parametrize("sort", ["role", "-role", "name", "-name", "seen", "-seen", "nonsense"])
def test_pages_follow_each_other_without_gap_or_repeat(cast: Cast, sort: str) -> None:
    many(cast.harbour, 130)

    rows = list(people.every(cast.harbour, Wish(sort=sort)))

    assert len(set(emails(rows))) == len(rows) == 132
    if sort == "role":
        assert emails(rows)[0] == "rita@harbour.example"


def test_thousands_cost_as_many_queries_as_two(cast: Cast) -> None:
    with CaptureQueriesContext(connection) as few:
        Visitor(PLATFORM, cast.rita).get("/users/")
    many(cast.harbour, 3_000)
    with CaptureQueriesContext(connection) as lots:
        page = Visitor(PLATFORM, cast.rita).get("/users/?sort=name")

    assert len(lots) == len(few)
    assert page.context["page"].next_cursor is not None


def test_somebody_of_two_agencies_is_in_each_with_their_role_there(cast: Cast) -> None:
    Membership.objects.create(agency=cast.harbour, user=cast.adam, role="member")

    here, there = (people.page(agency, Wish(search="adam")).rows[0] for agency in (cast.northlight, cast.harbour))

    assert (here.role, there.role) == ("Agency Admin", "Agency Member")
    assert not there.reaches_all


def test_an_odd_address_is_no_error(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)

    for query in ("cursor=x", "sort=--", "role=root", f"cursor={uuid4()}", "q=%00"):
        assert nora.get(f"/users/?{query}").status_code == 200


def test_the_file_holds_what_is_filtered(cast: Cast) -> None:
    answer = Visitor(PLATFORM, cast.nora).get("/users.csv?role=sub_account_admin")

    rows = list(csv.DictReader(b"".join(answer.streaming_content).decode("utf-8-sig").splitlines()))
    assert [row["E-mail"] for row in rows] == ["kira@koala-legal.example", "paul@acme-plumbing.example"]
    assert rows[0]["Sub-accounts"] == "1"


def test_the_list_of_sub_accounts_leads_here_only_whom_it_lets_in(cast: Cast) -> None:
    assert 'href="/users/"' in Visitor(PLATFORM, cast.adam).get("/sub-accounts/").content.decode()
    assert 'href="/users/"' not in Visitor(PLATFORM, cast.mia).get("/sub-accounts/").content.decode()
    assert Visitor(PLATFORM, cast.mia).get("/users/").status_code == 403
