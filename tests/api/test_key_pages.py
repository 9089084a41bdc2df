"""The pages of keys and of the documentation, on both hosts."""

import pytest

from agency.models import ApiKey, AuditRecord
from config.api_documentation import documented
from subaccounts import assist
from tests.api.program import Program, key_of
from tests.cast import PLATFORM, Cast, Visitor, host_of

WANTED = {"name": "Our website", "scopes": ["usage:read"], "days": "90", "allowed_networks": "203.0.113.0/24\n2001:db8::1"}


def test_a_client_makes_a_key_of_its_own(cast: Cast) -> None:
    page = Visitor(host_of(cast.acme), cast.paul).post("/developers/keys/new/", WANTED, follow=True)
    key = ApiKey.objects.get()

    assert page.status_code == 200 and "the only time the key is shown" in page.content.decode()
    assert (key.sub_account_id, key.scopes, key.created_by) == (cast.acme.public_id, ["usage:read"], cast.paul)
    assert key.allowed_networks == ["203.0.113.0/24", "2001:db8::1/128"]
    assert key.expires_at is not None
    record = AuditRecord.objects.get(action="api_key.made")
    assert (record.subject, record.sub_account_id) == ("Our website", cast.acme.public_id)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scopes": ["sub_accounts:write"]}, "not one of the available choices"),
        ({"scopes": []}, "Choose at least one"),
        ({"allowed_networks": "203.0.113.0/33"}, "is not a network"),
        ({"allowed_networks": "10.0.0.1/8"}, "is not a network"),
        ({"days": "-1"}, "not one of the available choices"),
        ({"name": "see https://evil.example"}, "cannot contain a web address"),
        ({"allowed_networks": "\n".join(f"10.0.0.{n}" for n in range(21))}, "at most 20 networks"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_in_words(cast: Cast, change: dict[str, object], told: str) -> None:
    page = Visitor(host_of(cast.acme), cast.paul).post("/developers/keys/new/", {**WANTED, **change})

    assert page.status_code == 200 and told in page.content.decode()
    assert not ApiKey.objects.exists()


def test_making_a_key_asks_who_it_is(cast: Cast) -> None:
    for host, user in ((PLATFORM, cast.nora), (host_of(cast.acme), cast.paul)):
        answer = Visitor(host, user, recent=False).post("/developers/keys/new/", WANTED)
        assert answer.status_code == 302 and "/security/confirm/" in answer.headers["Location"]
    assert not ApiKey.objects.exists()


def test_whoever_assists_leaves_no_key_behind(cast: Cast) -> None:
    visit = assist.begin(user=cast.nora, sub_account=cast.acme)
    browser = Visitor(host_of(cast.acme), cast.nora)
    session = browser.session
    session["assist"] = str(visit.public_id)
    session.save()

    assert browser.get("/developers/").status_code == 200
    assert browser.post("/developers/keys/new/", WANTED).status_code == 403
    assert not ApiKey.objects.exists()


def test_a_revoked_key_opens_nothing_and_stays_in_the_list(cast: Cast) -> None:
    key, browser = key_of(cast.northlight), Visitor(PLATFORM, cast.nora)
    assert Program(key).call("GET", "/me").status_code == 200
    browser.post(f"/developers/keys/{key.row.public_id}/revoke/")

    assert Program(key).call("GET", "/me").status_code == 401
    assert "Revoked" in browser.get("/developers/").content.decode()
    browser.post(f"/developers/keys/{key.row.public_id}/revoke/")
    assert AuditRecord.objects.filter(action="api_key.revoked").count() == 1


def test_nobody_sees_or_revokes_a_key_of_others(cast: Cast) -> None:
    keys = [key_of(cast.northlight), key_of(cast.northlight, sub_account=cast.acme), key_of(cast.harbour)]
    for browser, own in ((Visitor(PLATFORM, cast.nora), 0), (Visitor(host_of(cast.acme), cast.paul), 1), (Visitor(PLATFORM, cast.rita), 2)):
        page = browser.get("/developers/").content.decode()
        for number, key in enumerate(keys):
            assert (key.row.prefix in page) == (number == own)
            if number != own:
                assert browser.post(f"/developers/keys/{key.row.public_id}/revoke/").status_code == 404
                assert browser.get(f"/developers/keys/{key.row.public_id}/").status_code == 404
    assert not ApiKey.objects.exclude(revoked_at=None).exists()


def test_the_documentation_has_a_page_for_every_operation(cast: Cast) -> None:
    for host, user, for_clients in ((PLATFORM, cast.nora, False), (host_of(cast.acme), cast.paul, True)):
        browser = Visitor(host, user)
        overview = browser.get("/developers/documentation/").content.decode()
        for operation in documented(for_clients=for_clients):
            address = f"/developers/documentation/{operation.id}/"
            assert address in overview
            page = browser.get(address).content.decode()
            assert f"{operation.method} {operation.path}" in page and f"curl -X {operation.method} http://{host}/api/v1" in page
    assert browser.get("/developers/documentation/open_sub_account/").status_code == 404
    assert "open_sub_account" not in browser.get("/developers/documentation/openapi.json").content.decode()


def test_a_client_reads_no_platform_name_in_it(cast: Cast) -> None:
    browser = Visitor(host_of(cast.acme), cast.paul)
    for operation in documented(for_clients=True):
        main = browser.get(f"/developers/documentation/{operation.id}/").content.decode().split("<main", 1)[1]
        assert "Canopy" not in main, operation.id


def test_operations_are_found_by_words(cast: Cast) -> None:
    page = Visitor(PLATFORM, cast.nora).get("/developers/documentation/", {"q": "suspend post"}).content.decode()

    assert "/developers/documentation/suspend_sub_account/" in page and "/documentation/list_users/" not in page
    assert "No operation is like that" in Visitor(PLATFORM, cast.nora).get("/developers/documentation/", {"q": "zzz"}).content.decode()
