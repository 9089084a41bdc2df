"""Whose host is this?"""

from typing import Any

import pytest
from pytest_django import Settings

from subaccounts import hosts
from subaccounts.models import Domain, SubAccount
from tests.cast import Cast


@pytest.fixture(autouse=True)
def no_answers() -> Any:
    hosts.forget()
    yield
    hosts.forget()


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("ACME.App.Test:8000", "acme.app.test"),
        ("acme.app.test.", "acme.app.test"),
        ("acme.app.test", "acme.app.test"),
        ("bücher.test".encode().decode("latin-1"), "xn--bcher-kva.test"),
        ("acme.app.test:99999", None),
        ("acme.app.test:80", None),
        ("acme.app.test:", None),
        ("acme.app.test..", None),
        ("a1.app.test@evil", None),
        ("evil@acme.app.test", None),
        ("acme.app.test,koala.app.test", None),
        ("acme app.test", None),
        ("-acme.test", None),
        ("127.0.0.1:8000", None),
        ("127.0.0.1", None),
        ("[::1]:8000", None),
        ("[::1]", None),
        ("::1", None),
        ("", None),
        (".", None),
        ("a" * 300 + ".test", None),
        ("\udcff.test", None),
    ],
)
def test_a_host_header_becomes_the_stored_name(settings: Settings, header: str, name: str | None) -> None:
    settings.BASE_DOMAIN = "app.test:8000"
    assert hosts.canonical(header) == name


def test_without_a_port_of_our_own_only_the_usual_ones_are_ours(settings: Settings) -> None:
    settings.BASE_DOMAIN = "app.test"
    assert hosts.canonical("acme.app.test:443") == "acme.app.test"
    assert hosts.canonical("acme.app.test:8443") is None


def test_platform_workspace_own_domain_and_nobody(cast: Cast, settings: Settings) -> None:
    Domain.objects.create(domain="chat.acme-plumbing.example", tenant=cast.acme, is_primary=False)
    base = settings.BASE_DOMAIN
    platform, workspace, own = (hosts.site_for(host) for host in (base, f"acme-plumbing.{base}", "Chat.Acme-Plumbing.example"))
    assert platform
    assert (platform.kind, platform.sub_account, platform.realm) == ("platform", None, None)
    assert workspace
    assert (workspace.sub_account, workspace.realm, workspace.host) == (cast.acme, cast.northlight, f"acme-plumbing.{base}")
    assert own
    assert own.sub_account == cast.acme
    assert hosts.site_for(f"nobody.{base}") is None


def test_a_removed_sub_account_has_no_site(cast: Cast, settings: Settings) -> None:
    SubAccount.objects.filter(pk=cast.acme.pk).update(status=SubAccount.REMOVED)
    assert hosts.site_for(f"acme-plumbing.{settings.BASE_DOMAIN}") is None


def test_an_answer_is_kept_and_each_request_has_its_own_copy(cast: Cast, settings: Settings, django_assert_num_queries: Any) -> None:
    settings.HOST_CACHE_SECONDS = 60
    host = f"acme-plumbing.{settings.BASE_DOMAIN}"
    with django_assert_num_queries(1):
        first, second = hosts.site_for(host), hosts.site_for(host)
    assert first
    assert second
    assert first.sub_account
    assert second.sub_account
    assert first.agency
    first.sub_account.name, first.agency.name = "Spoilt", "Spoilt"
    with django_assert_num_queries(0):
        third = hosts.site_for(host)
    assert third
    assert third.sub_account
    assert third.agency
    assert (third.sub_account.name, third.agency.name) == ("Acme Plumbing", "Northlight Digital")


def test_a_suspension_is_seen_although_the_answer_is_kept(cast: Cast, settings: Settings) -> None:
    settings.HOST_CACHE_SECONDS = 60
    host = f"acme-plumbing.{settings.BASE_DOMAIN}"
    before = hosts.site_for(host)
    assert before
    assert before.sub_account
    assert before.sub_account.suspension is None
    cast.acme.suspensions.create(suspended_by="Nora")
    after = hosts.site_for(host)
    assert after
    assert after.sub_account
    assert after.sub_account.suspension is not None


def test_a_change_drops_the_answers_at_commit(cast: Cast, settings: Settings, django_capture_on_commit_callbacks: Any) -> None:
    settings.HOST_CACHE_SECONDS = 60
    base = settings.BASE_DOMAIN
    assert hosts.site_for(f"new.{base}") is None
    assert hosts.site_for(f"acme-plumbing.{base}")
    with django_capture_on_commit_callbacks(execute=True):
        Domain.objects.create(domain=f"new.{base.partition(':')[0]}", tenant=cast.acme, is_primary=False)
    assert hosts.site_for(f"new.{base}")
    acme = cast.acme
    acme.status = SubAccount.REMOVED
    with django_capture_on_commit_callbacks(execute=True):
        acme.save()
    assert hosts.site_for(f"acme-plumbing.{base}") is None


def test_unknown_hosts_do_not_fill_the_memory(db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.HOST_CACHE_SECONDS = 60
    monkeypatch.setattr(hosts, "MAX_ANSWERS", 10)
    for number in range(25):
        assert hosts.site_for(f"guess-{number}.{settings.BASE_DOMAIN}") is None
    assert len(hosts._answers) <= 10
