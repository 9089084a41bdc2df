"""Every page that can be reached by links, for a person of each kind: readable, no wider than the window, no complaint."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from django.conf import settings

from agency.models import User
from subaccounts.tenancy import enter
from tests.cast import Cast, host_of
from tests.ui.conftest import Sight
from tests.workspace.conftest import make_chatbot

Look = Callable[..., Sight]
NOT_PAGES = re.compile(r"\.(csv|json)$|/download/$|/sign-out/$|^/dev/|^/widget/")
KIND = re.compile(r"[0-9a-f-]{36}|(?<=/documentation/)[a-z_]+(?=/)")


def walk(sight: Sight, host: str) -> dict[str, list[str]]:
    """What is wrong with each page, one page of each kind; every other one on a telephone and in the dark."""
    page, wrong = sight.page, {}
    waiting, seen = [urlsplit(page.url).path], set()
    while waiting:
        path = waiting.pop(0)
        kind = KIND.sub("…", path)
        if kind in seen or NOT_PAGES.search(path):
            continue
        seen.add(kind)
        sight.complaints.clear()
        small = len(seen) % 2 == 0
        page.set_viewport_size({"width": 390 if small else 1280, "height": 844})
        page.emulate_media(color_scheme="dark" if small else "light", reduced_motion="reduce")
        page.goto(f"http://{host}{path}")
        found = [*sight.complaints, *sight.violations()]
        if sight.overflow() > 0:
            found.append(f"{sight.overflow()} pixels too wide")
        if found:
            wrong[path] = found
        links = page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
        waiting += [urlsplit(link).path for link in links if urlsplit(link).netloc == host]
    assert len(seen) > 8, seen
    return wrong


@pytest.mark.parametrize("who", ["nora", "mia"])
def test_every_page_of_an_agency(look: Look, cast: Cast, who: str) -> None:
    user: User = getattr(cast, who)

    assert walk(look("/home/", user=user), settings.BASE_DOMAIN) == {}


def test_every_page_of_a_client(look: Look, cast: Cast) -> None:
    with enter(cast.acme) as acme:
        make_chatbot(acme)

    assert walk(look("/", user=cast.paul, host=host_of(acme)), host_of(acme)) == {}
