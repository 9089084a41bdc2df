"""Every way to misuse the token that brings somebody into a workspace, in one list; none succeeds, each leaves a record."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import time_machine
from django.core.cache import cache
from django.db import transaction

from agency.models import AuditRecord, Membership, User
from kit import clock
from subaccounts import addresses, hop
from subaccounts.models import Access, Assist, Domain, Hop, SubAccount
from tests.attacks.test_c_assist import Browser
from tests.cast import PLATFORM, Cast, Visitor, host_of

CUSTOM = "assistant.acme.example"


@dataclass
class Attack:
    """What is done with a token of Mia's for Acme Plumbing, and what the record says of it; nothing where no token is known."""

    name: str
    act: Callable[["Stage"], Any]
    cause: str


class Stage:
    """A fresh browser of Mia's with an unused token, and other people's browsers."""

    def __init__(self, cast: Cast, moved: Any) -> None:
        self.cast = cast
        self.moved = moved
        self.browser = Browser(cast.mia)
        self.token = self.browser.token_for(cast.acme)

    @property
    def nonce(self) -> str:
        return str(self.browser.on(host_of(self.cast.acme)).cookies[hop.NONCE_COOKIE].value)

    def send(self, *, token: str | None = None, visitor: Visitor | None = None, **how: Any) -> Any:
        visitor = visitor or self.browser.on(host_of(self.cast.acme))
        return visitor.post("/hop/", {"token": self.token if token is None else token}, **how)

    def elsewhere(self, host: str, *, nonce: str | None = None, user: User | None = None) -> Visitor:
        visitor = Visitor(host, user)
        if nonce is not None:
            visitor.cookies[hop.NONCE_COOKIE] = nonce
        return visitor


@contextmanager
def aside() -> Iterator[None]:
    """What happens inside is taken back at the end, so that one attack leaves nothing to the next."""
    point = transaction.savepoint()
    yield
    transaction.savepoint_rollback(point)
    cache.clear()


def replay(stage: Stage) -> Any:
    stage.send()
    Assist.objects.all().delete()
    return stage.send(visitor=stage.elsewhere(host_of(stage.cast.acme), nonce=stage.nonce))


def replay_in_the_same_browser(stage: Stage) -> Any:
    nonce = stage.nonce
    stage.send()
    Assist.objects.all().delete()
    stage.browser.on(host_of(stage.cast.acme)).cookies[hop.NONCE_COOKIE] = nonce
    return stage.send()


def late(stage: Stage) -> Any:
    stage.moved.shift(60)
    return stage.send()


def burned_elsewhere(stage: Stage) -> Any:
    stage.send(visitor=stage.elsewhere(host_of(stage.cast.koala), nonce=stage.nonce))
    return stage.send()


def with_another_nonce(stage: Stage) -> Any:
    other = Browser(stage.cast.mia)
    other.token_for(stage.cast.acme)
    return stage.send(visitor=other.on(host_of(stage.cast.acme)))


def with_the_hash_as_nonce(stage: Stage) -> Any:
    return stage.send(visitor=stage.elsewhere(host_of(stage.cast.acme), nonce=hop.hashed(stage.nonce)))


def where_a_client_is_signed_in(stage: Stage) -> Any:
    return stage.send(visitor=stage.elsewhere(host_of(stage.cast.acme), nonce=stage.nonce, user=stage.cast.paul))


def for_another_purpose(stage: Stage) -> Any:
    Hop.objects.filter(token_hash=hop.hashed(stage.token)).update(purpose=Hop.RETURN)
    return stage.send()


def on_the_clients_domain(stage: Stage) -> Any:
    Domain.objects.create(domain=CUSTOM, tenant=stage.cast.acme, is_primary=False)
    return stage.send(visitor=stage.elsewhere(CUSTOM, nonce=stage.nonce))


def without_membership(stage: Stage) -> Any:
    Membership.objects.filter(user=stage.cast.mia).delete()
    return stage.send()


def without_grant(stage: Stage) -> Any:
    Access.objects.filter(user=stage.cast.mia).delete()
    return stage.send()


def deactivated(stage: Stage) -> Any:
    User.objects.filter(pk=stage.cast.mia.pk).update(is_active=False)
    return stage.send()


def of_a_deleted_agency(stage: Stage) -> Any:
    agency = stage.cast.northlight
    agency.deleted_at = clock.now()
    agency.save()
    return stage.send()


def link(stage: Stage) -> Any:
    return stage.browser.on(host_of(stage.cast.acme)).get("/hop/", {"token": stage.token})


def hash_for_token(stage: Stage) -> Any:
    return stage.send(token=hop.hashed(stage.token))


def as_json(stage: Stage) -> Any:
    return stage.browser.on(host_of(stage.cast.acme)).post("/hop/", {"token": stage.token}, content_type="application/json")


def nonce_by_force(stage: Stage) -> Any:
    """A link that somebody else made asks for a token in Mia's name, for a nonce of theirs."""
    theirs = hop.new_nonce()
    answer = stage.browser.on(PLATFORM).get("/hop/", {"nonce": hop.hashed(theirs)})
    assert "token" not in answer.content.decode()
    return answer


def wish_gone_stale(stage: Stage) -> Any:
    stage.browser.on(PLATFORM).post(f"/sub-accounts/{stage.cast.acme.public_id}/enter/")
    stage.moved.shift(61)
    answer = stage.browser.on(PLATFORM).get("/hop/", {"nonce": hop.hashed(hop.new_nonce())})
    assert "token" not in answer.content.decode()
    return answer


ATTACKS = [
    Attack("replay in another browser", replay, "used before"),
    Attack("replay in the same browser", replay_in_the_same_browser, "used before"),
    Attack("after sixty seconds", late, "too late"),
    Attack("another client's host", lambda stage: stage.send(visitor=stage.elsewhere(host_of(stage.cast.koala), nonce=stage.nonce)), "another host"),
    Attack("another agency's host", lambda stage: stage.send(visitor=stage.elsewhere(host_of(stage.cast.beacon), nonce=stage.nonce)), "another host"),
    Attack("the client's own domain", on_the_clients_domain, "another host"),
    Attack("at home, after another host", burned_elsewhere, "used before"),
    Attack("another purpose", for_another_purpose, "another purpose"),
    Attack("a browser without a nonce", lambda stage: stage.send(visitor=stage.elsewhere(host_of(stage.cast.acme))), "another browser"),
    Attack("a browser with an empty nonce", lambda stage: stage.send(visitor=stage.elsewhere(host_of(stage.cast.acme), nonce="")), "another browser"),
    Attack("a browser with a nonce of its own", with_another_nonce, "another browser"),
    Attack("the nonce's hash as the nonce", with_the_hash_as_nonce, "another browser"),
    Attack("a browser where the client is signed in", where_a_client_is_signed_in, "somebody is signed in there"),
    Attack("no longer in the team", without_membership, "no longer allowed"),
    Attack("no longer granted", without_grant, "no longer allowed"),
    Attack("deactivated", deactivated, "person not active"),
    Attack("of a deleted agency, whose hosts are closed", of_a_deleted_agency, ""),
    Attack("in a link", link, ""),
    Attack("a hash for the token", hash_for_token, ""),
    Attack("as JSON", as_json, ""),
    Attack("made up", lambda stage: stage.send(token="x" * 43), ""),
    Attack("empty", lambda stage: stage.send(token=""), ""),
    Attack("with a NUL", lambda stage: stage.send(token=stage.token + "\x00"), ""),
    Attack("a megabyte long", lambda stage: stage.send(token="x" * 1_000_000), ""),
    Attack("a nonce by force", nonce_by_force, ""),
    Attack("a wish gone stale", wish_gone_stale, ""),
]  # fmt: skip


def test_none_of_the_token_attacks_succeeds_and_all_that_used_one_are_recorded(cast: Cast) -> None:
    succeeded, unrecorded, failed = [], [], []
    for attack in ATTACKS:
        with time_machine.travel(clock.now(), tick=False) as moved, aside():
            answer = attack.act(Stage(cast, moved))
            refused = AuditRecord.objects.filter(action="assist.refused")
            if Assist.objects.exists():
                succeeded.append(attack.name)
            if answer.status_code >= 500:
                failed.append(attack.name)
            if attack.cause not in ("", *(record.after["cause"] for record in refused)) or bool(attack.cause) != refused.exists():
                unrecorded.append((attack.name, [record.after for record in refused]))
    assert (succeeded, unrecorded, failed) == ([], [], [])
    assert len(ATTACKS) == 26


def test_the_token_that_was_not_attacked_works(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as moved:
        assert Stage(cast, moved).send().status_code == 302
    assert Assist.objects.count() == 1


def test_a_refusal_on_another_agencys_host_is_told_to_the_persons_own(cast: Cast) -> None:
    stage = Stage(cast, None)

    stage.send(visitor=stage.elsewhere(host_of(cast.beacon), nonce=stage.nonce))

    record = AuditRecord.objects.get(action="assist.refused")
    assert (record.agency, record.sub_account_id, record.subject) == (cast.northlight, None, host_of(cast.beacon))


def test_a_removed_workspace_is_no_place_to_arrive(cast: Cast) -> None:
    stage = Stage(cast, None)
    acme = cast.acme
    acme.status = SubAccount.REMOVED
    acme.save()

    assert stage.send().status_code == 404
    assert not Assist.objects.exists()


def test_c14_a_client_with_a_domain_of_its_own_is_entered_on_ours(cast: Cast) -> None:
    Domain.objects.filter(tenant=cast.acme).update(is_primary=False)
    Domain.objects.create(domain=CUSTOM, tenant=cast.acme, is_primary=True)
    assert CUSTOM in addresses.primary_url(cast.acme)
    browser = Browser(cast.nora)

    page = browser.on(PLATFORM).post(f"/sub-accounts/{cast.acme.public_id}/enter/").content.decode()
    asked = Visitor(CUSTOM).get("/hop/")["Location"]
    form = browser.on(PLATFORM).get("/hop/", {"nonce": asked.partition("nonce=")[2]}).content.decode()

    assert f"http://{host_of(cast.acme)}/hop/" in page
    assert f'action="http://{host_of(cast.acme)}/hop/"' in form
    assert CUSTOM not in page + form


def test_an_assist_is_as_long_as_it_is_after_a_late_arrival(cast: Cast) -> None:
    with time_machine.travel(clock.now(), tick=False) as moved:
        stage = Stage(cast, moved)
        moved.shift(59)
        stage.send()
        begun = Assist.objects.get()
        assert begun.expires_at - clock.now() == timedelta(minutes=30)
