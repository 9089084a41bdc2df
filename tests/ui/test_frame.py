"""The frame: only what exists and what this person may do."""

import re
from datetime import timedelta
from html import unescape

import pytest
import time_machine

from agency.access import CAPABILITIES, Can, Role
from config.context import AGENCY_SECTIONS, WORKSPACE_SECTIONS, Frame, May
from credits.models import Wallet
from kit import clock
from tests.cast import Cast, Visitor, host_of

HOME = "/security/"


def sections(page: str) -> list[str]:
    nav = page[page.index('<nav class="nav"') :]
    return [unescape(name) for name in re.findall(r"</svg>([^<]+)</a>", nav[: nav.index("</nav>")])]


def test_an_owner_sees_every_section_that_is_built(cast: Cast) -> None:
    shown = sections(Visitor(user=cast.nora).get(HOME).content.decode())

    assert shown[:3] == ["Home", "Notices", "Sub-accounts"]
    assert set(shown) <= {row[0] for row in AGENCY_SECTIONS}


@pytest.mark.parametrize(("path", "row"), [("/webhooks/", "API &amp; webhooks"), ("/assists/", "Settings"), ("/ownership/", "Settings")])
def test_a_page_beside_its_row_is_marked_as_the_rows(cast: Cast, path: str, row: str) -> None:
    page = Visitor(user=cast.nora).get(path).content.decode()
    nav = page[page.index('<nav class="nav"') :]

    assert re.findall(r'aria-current="page"[^>]*>(?:<svg.*?</svg>)([^<]+)<', nav[: nav.index("</nav>")], re.DOTALL) == [row]


def test_a_member_sees_no_section_it_may_not_open(cast: Cast) -> None:
    shown = sections(Visitor(user=cast.mia).get(HOME).content.decode())

    assert shown == ["Home", "Notices", "Sub-accounts"]


def test_the_switcher_lists_what_this_person_may_enter_and_nobody_elses(cast: Cast) -> None:
    owner = Visitor(user=cast.nora).get(HOME).content.decode()
    member = Visitor(user=cast.mia).get(HOME).content.decode()

    assert 'data-filter-text="Koala Legal"' in owner
    assert 'data-filter-text="Beacon Dental"' not in owner
    assert 'data-filter-text="Acme Plumbing"' in member
    assert 'data-filter-text="Koala Legal"' not in member


def test_every_switch_is_a_protected_post(cast: Cast) -> None:
    page = Visitor(user=cast.nora).get(HOME).content.decode()

    for form in re.findall(r'<form method="post" action="[^"]*/enter/".*?</form>', page, re.DOTALL):
        assert "csrfmiddlewaretoken" in form
    assert page.count("/enter/") == cast.northlight.sub_accounts.count()


def test_a_clients_frame_is_its_workspaces(cast: Cast) -> None:
    page = Visitor(host_of(cast.acme), cast.paul).get(HOME).content.decode()

    assert set(sections(page)) <= {row[0] for row in WORKSPACE_SECTIONS}
    assert "Subaccount Admin" in page
    assert 'id="switcher"' not in page
    assert "trial" not in page


def test_the_trial_is_announced_to_those_who_can_end_it(cast: Cast) -> None:
    assert "14 days left in your trial" in Visitor(user=cast.nora).get(HOME).content.decode()
    assert "left in your trial" not in Visitor(user=cast.mia).get(HOME).content.decode()

    with time_machine.travel(clock.now() + timedelta(days=13, hours=12)):
        assert "1 day left in your trial" in Visitor(user=cast.nora).get(HOME).content.decode()


def test_a_low_pool_is_announced_with_what_is_left(cast: Cast) -> None:
    pool = cast.northlight.pool("credit")
    Wallet.objects.filter(id=pool.id).update(low_at=pool.balance + 1)

    assert f"{pool.balance:,} credits left" in Visitor(user=cast.nora).get(HOME).content.decode()


def test_can_knows_every_capability_and_refuses_a_misspelt_one() -> None:
    member = May(CAPABILITIES[Role.MEMBER])

    assert member["see_agency"]
    assert not member[Can.MANAGE_TEAM.value]
    with pytest.raises(LookupError):
        member["manage_teams"]


def test_a_page_without_a_frame_costs_no_query(cast: Cast, rf, django_assert_num_queries) -> None:
    request = rf.get("/")
    request.user = cast.nora

    with django_assert_num_queries(0):
        assert Frame(request).brand.name
        assert Frame(request).sections == []
