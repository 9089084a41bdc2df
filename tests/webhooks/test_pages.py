"""The pages of webhooks: for whom, what they do, and what they never show."""

import re
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.urls import reverse

from agency.models import AuditRecord
from billing import deliveries, dispatch, webhooks
from billing.models import Delivery, Endpoint, EndpointSecret
from credits import ledger
from kit import clock, egress, outbox
from kit.models import OutboxMessage
from subaccounts import assist
from subaccounts.models import SubAccount
from tests.api.program import of_client
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of
from tests.webhooks.test_deliveries import Receiver, receiver  # noqa: F401  (a fixture)

URL = "https://receiver.example/hook"


@pytest.fixture
def endpoint(cast: Cast, receiver: Receiver) -> Endpoint:  # noqa: F811
    outbox.deliver_due()
    return webhooks.make(agency=cast.northlight, url=URL, description="Our CRM", by=TESTS).endpoint


def address(endpoint: Endpoint, part: str = "") -> str:
    return f"/webhooks/{endpoint.public_id}/{part}"


def delivered(endpoint: Endpoint) -> Delivery:
    sent = webhooks.test(endpoint=endpoint, by=TESTS)
    dispatch.deliver_due()
    return sent


def secret_on(page: Any) -> str:
    found = re.search(r"whsec_[A-Za-z0-9+/=]+", page.content.decode())
    return found[0] if found else ""


def test_adding_shows_the_secret_once_and_it_stands_nowhere_in_clear(cast: Cast, receiver: Receiver) -> None:  # noqa: F811
    """K03."""
    nora = Visitor(PLATFORM, cast.nora)
    page = nora.post(
        "/webhooks/new/", {"url": URL, "description": "Our CRM", "hears": "chosen", "event_types": ["lead.created"]}, follow=True
    )
    secret = secret_on(page)
    endpoint = Endpoint.objects.get()

    assert secret
    assert endpoint.event_types == ["lead.created"]
    again = nora.get(page.request["PATH_INFO"])
    assert secret_on(again) == ""
    assert "was shown when it was made" in again.content.decode()
    delivered(endpoint)
    bare = secret.removeprefix("whsec_")
    with connection.cursor() as cursor:
        for model in (Endpoint, EndpointSecret, AuditRecord, OutboxMessage, Delivery, Session):
            cursor.execute(f'SELECT count(*) FROM "{model._meta.db_table}" t WHERE t::text LIKE %s', [f"%{bare}%"])
            assert cursor.fetchone() == (0,), model
    for path in (address(endpoint), "/webhooks/", address(endpoint, f"deliveries/{Delivery.objects.get().public_id}/")):
        assert bare not in nora.get(path).content.decode()


def test_a_new_secret_says_for_how_long_the_former_one_counts(cast: Cast, endpoint: Endpoint) -> None:
    page = Visitor(PLATFORM, cast.nora).post(address(endpoint, "rotation/"), follow=True)

    assert secret_on(page)
    assert "The former one signs as well for 24 hours" in page.content.decode()


def test_h14_what_cannot_be_sent_to_is_said_beside_the_field(cast: Cast) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    for url in (
        "https://127.0.0.1:22/",
        "ftp://example.com/",
        "https://10.0.0.1/",
        "https://user@example.com/",
        "https://[::1]/%0d%0a",
        "\x00",
    ):
        page = nora.post("/webhooks/new/", {"url": url, "hears": "all"})
        assert page.status_code == 200
        assert "error-summary" in page.content.decode(), url
    chosen = nora.post("/webhooks/new/", {"url": URL, "hears": "chosen"})
    assert "Choose at least one event" in chosen.content.decode()
    assert not Endpoint.objects.exists()


def test_a_test_shows_its_outcome_in_place(cast: Cast, endpoint: Endpoint, receiver: Receiver) -> None:  # noqa: F811
    nora = Visitor(PLATFORM, cast.nora)
    asked = nora.post(address(endpoint, "test/"), headers={"hx-request": "true"}).content.decode()
    poll = re.search(r'hx-get="([^"]+)"', asked)
    assert poll
    assert "on its way" in asked

    dispatch.deliver_due()
    outcome = nora.get(poll[1]).content.decode()
    assert "The test arrived: 200" in outcome
    assert "“thanks”" in outcome
    assert "hx-get" not in outcome, "it asks no further"

    receiver.answer = egress.Answer(500, {}, b"a secret of an inner host")
    nora.post(address(endpoint, "test/"))
    dispatch.deliver_due()
    newest = Delivery.objects.latest("pk")
    page = nora.get(address(endpoint, f"deliveries/{newest.public_id}/outcome/")).content.decode()
    assert "did not arrive: answered 500" in page
    assert "inner host" not in page


def test_h16_the_log_shows_request_and_tries_and_no_body_of_an_error(cast: Cast, endpoint: Endpoint, receiver: Receiver) -> None:  # noqa: F811
    receiver.answer = egress.Answer(403, {}, b"a secret of an inner host <script>")
    sent = delivered(endpoint)
    page = Visitor(PLATFORM, cast.nora).get(address(endpoint, f"deliveries/{sent.public_id}/")).content.decode()

    assert "Answered 403" in page
    assert f"evt_{sent.event.public_id.hex}" in page
    assert "webhook-signature: v1," in page
    assert "Nothing happened." in page
    assert "inner host" not in page


def test_the_log_is_filtered_and_paged(cast: Cast, endpoint: Endpoint) -> None:
    for _ in range(31):
        webhooks.test(endpoint=endpoint, by=TESTS)
    Delivery.objects.filter(pk__in=Delivery.objects.order_by("pk")[:2].values("pk")).update(state="failed", settled_at=clock.now())
    nora = Visitor(PLATFORM, cast.nora)
    first = nora.get(address(endpoint))
    after = first.context["page"].after

    assert len(first.context["rows"]) == 30
    assert len(nora.get(f"{address(endpoint)}?cursor={after}").context["rows"]) == 1
    counts = {
        query: len(nora.get(f"{address(endpoint)}?{query}").context["rows"])
        for query in (
            "state=failed",
            "state=x",
            "type=webhook.test",
            "type=lead.created",
            "day=2020-01-01",
            "day=x&cursor=x",
            "day=0001-01-01",
        )
    }
    assert counts == {
        "state=failed": 2, "state=x": 30, "type=webhook.test": 30, "type=lead.created": 0, "day=2020-01-01": 0, "day=x&cursor=x": 30,
        "day=0001-01-01": 30,
    }  # fmt: skip


def test_one_is_sent_again_and_all_that_failed_since_a_day(cast: Cast, endpoint: Endpoint, receiver: Receiver) -> None:  # noqa: F811
    sent = delivered(endpoint)
    nora = Visitor(PLATFORM, cast.nora)
    nora.post(address(endpoint, f"deliveries/{sent.public_id}/replay/"))
    assert dispatch.deliver_due() == 1
    assert {headers["webhook-id"] for _, _, headers in receiver.requests} == {f"evt_{sent.event.public_id.hex}"}

    Delivery.objects.update(state="failed", settled_at=clock.now())
    today = clock.today_in(cast.northlight.time_zone)
    done = nora.post(address(endpoint, "replay/"), {"since": today.isoformat()}, follow=True)
    assert "1 event that had failed is being sent again" in done.content.decode()
    assert dispatch.deliver_due() == 1
    for wrong in ("", "2020-01-01", "2999-01-01", "x"):
        assert "Nothing was sent" in nora.post(address(endpoint, "replay/"), {"since": wrong}, follow=True).content.decode()


def test_an_endpoint_is_edited_switched_off_and_on_and_removed(cast: Cast, endpoint: Endpoint) -> None:
    nora = Visitor(PLATFORM, cast.nora)
    nora.post(address(endpoint, "edit/"), {"url": URL, "description": "The CRM", "hears": "chosen", "event_types": ["call.ended"]})
    endpoint.refresh_from_db()
    assert (endpoint.description, endpoint.event_types) == ("The CRM", ["call.ended"])

    nora.post(address(endpoint, "switch/"), {"is_on": "0"})
    assert "Switched off by hand" in nora.get("/webhooks/").content.decode()
    assert nora.post(address(endpoint, "test/")).status_code == 409
    assert (
        "switched off"
        in nora.post(address(endpoint, "replay/"), {"since": clock.today_in("UTC").isoformat()}, follow=True).content.decode()
    )
    nora.post(address(endpoint, "switch/"), {"is_on": "1"})
    nora.post(address(endpoint, "removal/"))
    assert nora.get(address(endpoint)).status_code == 404
    assert not EndpointSecret.objects.filter(endpoint=endpoint).exists()


def changes(endpoint: Endpoint, sent: Delivery) -> dict[str, dict[str, str]]:
    """Every form of these pages as its owner sends it."""
    return {
        "/webhooks/new/": {"url": URL, "hears": "all"},
        address(endpoint, "edit/"): {"url": URL, "hears": "all"},
        address(endpoint, "rotation/"): {},
        address(endpoint, "switch/"): {"is_on": "0"},
        address(endpoint, "removal/"): {},
        address(endpoint, "test/"): {},
        address(endpoint, "replay/"): {"since": clock.today_in("UTC").isoformat()},
        address(endpoint, f"deliveries/{sent.public_id}/replay/"): {},
    }


def looks(endpoint: Endpoint, sent: Delivery) -> list[str]:
    inside = f"deliveries/{sent.public_id}/"
    return [
        "/webhooks/",
        address(endpoint),
        address(endpoint, "secret/"),
        address(endpoint, inside),
        address(endpoint, f"{inside}outcome/"),
    ]


def test_h19_d08_log_and_forms_are_for_owner_and_admin_alone(cast: Cast, endpoint: Endpoint) -> None:
    sent = delivered(endpoint)
    own = webhooks.make(agency=cast.northlight, sub_account=cast.acme, url="https://acme.example/hook", by=TESTS).endpoint
    of_client = delivered(own)
    acme = host_of(cast.acme)
    matrix = [
        (PLATFORM, cast.mia, endpoint, sent, {403}),
        (PLATFORM, cast.rita, endpoint, sent, {404, 200}),
        (PLATFORM, cast.nora, own, of_client, {404, 200}),
        (acme, cast.tess, own, of_client, {403}),
        (acme, cast.paul, endpoint, sent, {404, 200}),
        (host_of(cast.koala), cast.kira, own, of_client, {404, 200}),
    ]
    before = list(Endpoint.objects.order_by("pk").values())
    for host, user, there, thing, expected in matrix:
        visitor = Visitor(host, user)
        for path in looks(there, thing):
            page = visitor.get(path)
            assert page.status_code in expected, (user.email, path)
            assert there.url not in page.content.decode(), (user.email, path)
        for path, data in changes(there, thing).items():
            if path != "/webhooks/new/" or expected == {403}:
                assert visitor.post(path, data).status_code in expected - {200}, (user.email, path)
    assert list(Endpoint.objects.order_by("pk").values()) == before
    for host, user, there, thing in ((PLATFORM, cast.adam, endpoint, sent), (acme, cast.paul, own, of_client)):
        assert [Visitor(host, user).get(path).status_code for path in looks(there, thing)] == [200] * 5


def test_secrets_are_for_who_has_just_shown_who_they_are(cast: Cast, endpoint: Endpoint) -> None:
    nora = Visitor(PLATFORM, cast.nora, recent=False)
    for answer in (nora.post("/webhooks/new/", {"url": URL, "hears": "all"}), nora.post(address(endpoint, "rotation/"))):
        assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
    assert Endpoint.objects.count() == EndpointSecret.objects.count() == 1


def test_a_client_is_offered_only_what_it_may_hear(cast: Cast, receiver: Receiver) -> None:  # noqa: F811
    acme = cast.acme
    paul = Visitor(host_of(acme), cast.paul)
    acme.balance_visibility = "hidden"
    acme.save(update_fields=["balance_visibility"])
    hidden = paul.get("/webhooks/new/").content.decode()
    assert "lead.created" in hidden
    assert "credits." not in hidden
    refused = paul.post("/webhooks/new/", {"url": URL, "hears": "chosen", "event_types": ["credits.granted"]})
    assert "error-summary" in refused.content.decode()
    acme.balance_visibility = "shown"
    acme.save(update_fields=["balance_visibility"])
    shown = paul.get("/webhooks/new/").content.decode()
    assert "credits.granted" in shown
    assert "credits.low" not in shown, "that threshold is the agency's"


def test_g16_balances_hidden_later_are_neither_sent_nor_shown(cast: Cast, receiver: Receiver) -> None:  # noqa: F811
    acme = cast.acme
    SubAccount.objects.filter(pk=acme.pk).update(balance_visibility="shown")
    outbox.deliver_due()
    own = webhooks.make(agency=cast.northlight, sub_account=acme, url=URL, by=TESTS).endpoint
    ledger.grant(to=acme.wallet("credit"), amount=500, source="purchase", key="later", sub_account_id=acme.public_id, by=TESTS)
    outbox.deliver_due()
    waiting = Delivery.objects.get(endpoint=own, event__type="credits.granted")
    paul, program = Visitor(host_of(acme), cast.paul), of_client(acme)
    pages = [address(own), address(own, f"deliveries/{waiting.public_id}/")]
    called = f"/webhooks/{own.public_id}/deliveries"

    SubAccount.objects.filter(pk=acme.pk).update(balance_visibility="hidden")
    dispatch.deliver_due()
    assert receiver.requests == []
    assert str(waiting.public_id) not in paul.get(pages[0]).content.decode()
    assert [paul.get(pages[1]).status_code, paul.post(pages[1] + "replay/").status_code] == [404, 404]
    assert program.call("GET", called).json()["items"] == []
    assert program.call("POST", f"{called}/{waiting.public_id}/replay").status_code == 404

    SubAccount.objects.filter(pk=acme.pk).update(balance_visibility="shown")
    dispatch.deliver_due()
    assert len(receiver.requests) == 1
    assert paul.get(pages[1]).status_code == 200


def test_whoever_assists_looks_and_changes_nothing(cast: Cast, receiver: Receiver) -> None:  # noqa: F811
    own = webhooks.make(agency=cast.northlight, sub_account=cast.acme, url="https://acme.example/hook", by=TESTS).endpoint
    sent = delivered(own)
    visit = assist.begin(user=cast.nora, sub_account=cast.acme)
    nora = Visitor(host_of(cast.acme), cast.nora)
    session = nora.session
    session = nora.session
    session["assist"] = str(visit.public_id)
    session.save()

    assert nora.get(address(own)).status_code == 200
    for path, data in changes(own, sent).items():
        assert nora.post(path, data).status_code == 403, path
    assert deliveries.claim() is None
