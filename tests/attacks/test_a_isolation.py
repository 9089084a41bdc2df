"""Threats A04–A14, A17 and A18: which workspace a request or a task is for, and that it never sees another one's.

A01–A03, A16 and A19–A22 stand beside the pages they attack.
"""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory
from gunicorn.config import Config
from gunicorn.http.errors import InvalidHeader
from gunicorn.http.parser import RequestParser

from kit.doors import all_views, door_of
from subaccounts import hosts
from subaccounts.middleware import HostMiddleware
from subaccounts.models import Domain, SubAccount
from subaccounts.tasks import WorkspaceGone
from subaccounts.tenancy import enter
from tests.cast import Cast, Visitor, host_of
from tests.tenancy.conftest import Pair, committed_pair, pair, whose_contacts  # noqa: F401  (fixtures)
from tests.tenancy.test_tasks import note_contact, ran
from workspace.models import Contact

BASE = settings.BASE_DOMAIN
NOT_OURS = [
    "evil.example",
    "nobody." + BASE,
    "127.0.0.1",
    "127.0.0.1:8000",
    "[::1]",
    "[::1]:8000",
    "",
    f"acme-plumbing.{BASE}@evil.example",
    f"evil.example@acme-plumbing.{BASE}",
    f"acme-plumbing.{BASE},koala-legal.{BASE}",
    "acme-plumbing.localhost:99999",
    "acme-plumbing.localhost..",
    "acme-plumbing",
    "xn--cme-7cd.localhost",
    "*.localhost",
]


def site_seen(**headers: str) -> str:
    def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.site.host)

    return HostMiddleware(answer)(RequestFactory().get("/", **headers)).content.decode()


def whose_page(sub_account: SubAccount) -> set[str]:
    """The contacts a page on the workspace's host is made of."""

    def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse("|".join(sorted(whose_contacts())))

    request = RequestFactory().get("/", headers={"host": f"{sub_account.slug}.{BASE}"})
    return set(HostMiddleware(answer)(request).content.decode().split("|"))


@pytest.fixture
def reachable(pair: Pair) -> Pair:  # noqa: F811
    for sub_account in pair:
        Domain.objects.get_or_create(domain=f"{sub_account.slug}.localhost", defaults={"tenant": sub_account})
    return pair


@pytest.mark.parametrize("urlconf", [settings.ROOT_URLCONF, settings.WORKSPACE_URLCONF])
def test_a04_no_address_has_a_guessable_number(urlconf: str) -> None:
    # A person's own passkeys are allauth's pages; it looks them up among that person's.
    routes = [route for route, _ in all_views(urlconf) if not route.startswith("/security/passkeys/")]
    assert [route for route in routes if re.search(r"<int:|\\d\+|\[0-9\]\+", route)] == []


def test_a04_no_link_on_a_page_has_a_guessable_number(cast: Cast) -> None:
    for visitor in (Visitor(user=cast.nora), Visitor(host_of(cast.acme), cast.paul)):
        page = visitor.get("/", follow=True).content.decode()
        assert re.findall(r'(?:href|action)="[^"]*/\d+/[^"]*"', page) == []


def test_a05_a_session_is_worth_nothing_on_another_host(cast: Cast) -> None:
    visitor = Visitor(host_of(cast.acme), cast.paul)
    at_home = visitor.get("/")
    assert at_home.wsgi_request.user.is_authenticated
    for host in (host_of(cast.koala), host_of(cast.beacon), BASE):
        copy = Client(headers={"host": host})
        copy.cookies = visitor.cookies.copy()
        assert not copy.get("/").wsgi_request.user.is_authenticated


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_HOST", "HTTP_X_ORIGINAL_HOST", "HTTP_FORWARDED", "HTTP_X_HOST", "SERVER_NAME"])
def test_a06_only_the_host_header_decides(cast: Cast, header: str) -> None:
    other = f"host={host_of(cast.koala)}" if header == "HTTP_FORWARDED" else host_of(cast.koala)
    assert site_seen(HTTP_HOST=host_of(cast.acme), **{header: other}) == host_of(cast.acme)


def test_a06_two_host_headers_are_refused_by_the_server() -> None:
    request = b"GET / HTTP/1.1\r\nHost: acme-plumbing.localhost\r\nHost: koala-legal.localhost\r\n\r\n"
    with pytest.raises(InvalidHeader):
        next(RequestParser(Config(), iter([request]), ("127.0.0.1", 1)))


@pytest.mark.parametrize("host", NOT_OURS)
def test_a07_a_host_that_is_nobodys_learns_nothing(cast: Cast, host: str) -> None:
    for answer in (
        Client(headers={"host": host}).get("/"),
        Client(headers={"host": host}).get("/sign-in/"),
        Client(headers={"host": host}).post("/password/reset/", {"email": "nora@northlight.example"}),
    ):
        assert answer.status_code == 404
        assert not answer.cookies
        assert "Set-Cookie" not in answer
        assert b"Nothing here" in answer.content
        assert b"Canopy" not in answer.content
    assert mail.outbox == []


@pytest.mark.parametrize("host", ["ACME-Plumbing.LocalHost:8000", "acme-plumbing.localhost.:8000", "acme-plumbing.localhost"])
def test_a08_spellings_of_a_host_are_one_workspace(cast: Cast, host: str) -> None:
    assert site_seen(HTTP_HOST=host) == host_of(cast.acme)


def test_a08_www_leads_to_the_name_itself(cast: Cast) -> None:
    for host in (BASE, host_of(cast.acme)):
        answer = Client(headers={"host": f"www.{host}"}).get("/sign-in/?next=/x")
        assert (answer.status_code, answer["Location"]) == (308, f"http://{host}/sign-in/?next=/x")
        assert not answer.cookies
    assert Client(headers={"host": f"www.nobody.{BASE}"}).get("/").status_code == 404


def test_a09_a_look_alike_is_another_name(cast: Cast) -> None:
    cyrillic = f"\N{CYRILLIC SMALL LETTER A}cme-plumbing.{BASE}".encode().decode("latin-1")
    name = hosts.canonical(cyrillic)
    assert name
    assert name.startswith("xn--")
    assert hosts.site_for(cyrillic) is None


def test_a10_a_sub_account_that_is_not_ready_is_not_reachable(cast: Cast) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(status=SubAccount.REMOVED)
    answer = Client(headers={"host": f"acme-plumbing.{BASE}"}).get("/sign-in/")
    assert answer.status_code == 404
    assert not answer.cookies


@pytest.mark.parametrize("damage", ["DROP SCHEMA {} CASCADE", "DROP TABLE {}.workspace_contact CASCADE"])
def test_a11_a_damaged_workspace_is_unavailable_and_shows_nothing_of_publics(cast: Cast, damage: str) -> None:
    acme = cast.acme
    with connection.cursor() as cursor:
        cursor.execute(damage.format(acme.schema_name))

    def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(list(Contact.objects.all())))

    middleware = HostMiddleware(answer)
    request = RequestFactory().get("/", headers={"host": host_of(acme)})
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        middleware(request)
    page = middleware.process_exception(request, error.value)
    assert page is not None
    assert page.status_code == 503
    assert b"Not available" in page.content


class Storm:
    """Cancels whatever the readers' connections are doing, again and again, from connections of its own."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.cancelled = 0

    def __enter__(self) -> "Storm":
        self.threads = [threading.Thread(target=self._cancel) for _ in range(2)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _cancel(self) -> None:
        parameters = connections["default"].get_connection_params()
        del parameters["cursor_factory"], parameters["context"]
        with psycopg.connect(**parameters, autocommit=True) as mine:
            while not self.over.is_set():
                row = mine.execute(
                    "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND state = 'active' AND query NOT LIKE '%%pg_cancel_backend%%'"
                ).fetchone()
                self.cancelled += row[0] if row else 0
                time.sleep(0.001)


def read_in_a_storm(pair: Pair, *, seconds: float) -> tuple[int, int, int]:  # noqa: F811
    """(reads, of them wrong, refused or cancelled) of four threads that alternate between two workspaces."""
    until = time.monotonic() + seconds

    def read(number: int) -> tuple[int, int, int]:
        reads = wrong = refused = 0
        try:
            while time.monotonic() < until:
                sub_account = [*pair][(reads + refused + number) % 2]
                try:
                    wrong += whose_page(sub_account) != {sub_account.schema_name}
                    reads += 1
                except DatabaseError:
                    refused += 1
        finally:
            connection.close()
        return reads, wrong, refused

    with Storm(), ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(read, range(4)))
    reads, wrong, refused = (sum(column) for column in zip(*answers, strict=True))
    return reads, wrong, refused


def test_a12_a_cancelled_set_never_shows_another_workspace(reachable: Pair) -> None:
    reads, wrong, refused = read_in_a_storm(reachable, seconds=2)
    assert wrong == 0
    assert reads > 200
    assert refused > 0


@pytest.mark.long
def test_a12_long_a_storm_of_cancels_never_shows_another_workspace(reachable: Pair) -> None:
    reads, wrong, refused = read_in_a_storm(reachable, seconds=30)
    while reads < 20_000:
        more = read_in_a_storm(reachable, seconds=10)
        reads, wrong, refused = reads + more[0], wrong + more[1], refused + more[2]
    print(f"{reads} reads, {wrong} wrong, {refused} refused")
    assert wrong == 0
    assert refused > 0


def test_a13_threads_of_one_server_never_mix_two_workspaces(reachable: Pair) -> None:
    def visit(turn: int) -> bool:
        sub_account = [*reachable][turn % 2]
        try:
            return whose_page(sub_account) == {sub_account.schema_name}
        finally:
            if turn % 7 == 0:
                connection.close()

    def visits(start: int) -> list[bool]:
        try:
            return [visit(start + turn) for turn in range(50)]
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as threads:
        answers = [right for rights in threads.map(visits, range(16)) for right in rights]
    assert len(answers) == 800
    assert all(answers)


def test_a13_the_leaking_ways_into_a_workspace_are_not_used() -> None:
    found = []
    for path in (
        path
        for folder in ("agency", "subaccounts", "workspace", "billing", "whitelabel", "kit", "credits")
        for path in (settings.BASE_DIR / folder).rglob("*.py")
    ):
        text = path.read_text()
        found += [
            f"{path}: {match}" for match in re.findall(r"\b(?:schema_context|tenant_context|with tenant\b|\.activate\(\)|cache_page)", text)
        ]
    assert found == []


def test_a14_nothing_warm_in_the_cache_of_one_workspace_is_shown_in_another(cast: Cast) -> None:
    cache.clear()
    with enter(cast.acme):
        Contact.objects.create(name="Canary of Acme")
    for path in workspace_pages():
        Visitor(host_of(cast.acme), cast.paul).get(path)
    for path in workspace_pages():
        page = Visitor(host_of(cast.koala), cast.kira).get(path)
        assert b"Canary of Acme" not in b"".join(page)


def workspace_pages() -> list[str]:
    """Addresses behind a workspace's door that need nothing more."""
    doors = [(route, door_of(pattern.callback)) for route, pattern in all_views(settings.WORKSPACE_URLCONF)]
    return [route for route, door in doors if door and door.kind == "workspace" and "<" not in route]


def test_a18_a_streamed_answer_is_made_in_its_workspace_piece_by_piece(reachable: Pair) -> None:
    def export(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(name for _ in range(3) for name in Contact.objects.values_list("name", flat=True).iterator())

    answers = [iter(HostMiddleware(export)(RequestFactory().get("/", headers={"host": host_of(row)}))) for row in reachable]
    for _ in range(3):
        for sub_account, answer in zip(reachable, answers, strict=True):
            assert next(answer).decode() == sub_account.schema_name
            assert connection.schema_name == "public"


def test_a17_tasks_of_a_removed_client_change_nothing(cast: Cast) -> None:
    ran.clear()
    SubAccount.objects.filter(pk=cast.acme.pk).update(status=SubAccount.REMOVED)
    before = public_rows()
    results = [note_contact.apply(args=[f"late {number}"], kwargs={"sub_account_id": str(cast.acme.public_id)}) for number in range(100)]
    assert all(isinstance(result.result, WorkspaceGone) for result in results)
    assert ran == []
    assert public_rows() == before


def public_rows() -> dict[str, Any]:
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        counts = {}
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}"')
            counts[table] = cursor.fetchone()
    return counts


def test_migrating_again_in_public_leaves_workspaces_alone(cast: Cast) -> None:
    call_command("migrate", verbosity=0)
    with enter(cast.acme):
        assert Contact.objects.count() == 0
