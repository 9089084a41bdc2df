"""Who is known where."""

import pytest
from django.db import IntegrityError

from agency.models import User
from tests.cast import PASSWORD, PLATFORM, Cast, host_of, person
from tests.entrance import is_signed_in, sign_in


def test_a_client_signs_in_on_its_workspace(cast: Cast) -> None:
    browser, answer = sign_in("paul@acme-plumbing.example", host_of(cast.acme))
    assert answer.status_code == 302
    assert is_signed_in(browser)


def test_a_member_of_the_team_signs_in_on_the_platform(cast: Cast) -> None:
    browser, answer = sign_in("nora@northlight.example")
    assert answer.headers["Location"] == "/"
    assert is_signed_in(browser)


@pytest.mark.parametrize("who", ["nora@northlight.example", "rita@harbour.example", "ben@beacon-dental.example", "nobody@example.com"])
def test_e23_no_other_realm_opens_a_workspace(cast: Cast, who: str) -> None:
    browser, answer = sign_in(who, host_of(cast.acme))
    assert "not correct" in answer.content.decode()
    assert not is_signed_in(browser)


@pytest.mark.parametrize("who", ["paul@acme-plumbing.example", "ben@beacon-dental.example"])
def test_a_clients_password_opens_nothing_on_the_platform(cast: Cast, who: str) -> None:
    browser, answer = sign_in(who, PLATFORM)
    assert answer.status_code == 200
    assert not is_signed_in(browser)


def test_a_client_of_a_sister_workspace_is_told_where_to_go(cast: Cast) -> None:
    browser, answer = sign_in("kira@koala-legal.example", host_of(cast.acme))
    assert host_of(cast.koala) in answer.content.decode()
    assert not is_signed_in(browser)


def test_a_client_without_any_workspace_gets_the_answer_of_a_wrong_password(cast: Cast) -> None:
    person("lost@example.com", "Lo", "St", realm=cast.northlight)
    _, right = sign_in("lost@example.com", host_of(cast.acme))
    _, wrong = sign_in("lost@example.com", host_of(cast.acme), password="not-the-password-1")
    assert right.status_code == wrong.status_code == 200
    assert "not correct" in right.content.decode()


def test_one_address_is_two_people_in_two_realms(cast: Cast) -> None:
    twin = User.objects.create_user(email="PAUL@acme-plumbing.example", realm=cast.harbour)
    assert User.objects.known_as("paul@acme-plumbing.example", realm=cast.northlight) == cast_paul(cast)
    assert User.objects.known_as("Paul@Acme-Plumbing.example", realm=cast.harbour) == twin


def cast_paul(cast: Cast) -> User:
    return User.objects.get(email="paul@acme-plumbing.example", realm=cast.northlight)


@pytest.mark.parametrize("realm", ["northlight", None])
def test_an_address_is_one_person_within_a_realm(cast: Cast, realm: str | None) -> None:
    where = getattr(cast, realm) if realm else None
    User.objects.create_user(email="once@example.com", realm=where)
    with pytest.raises(IntegrityError):
        User.objects.create_user(email="ONCE@example.com", realm=where)


def test_a_look_alike_domain_is_the_domain_it_looks_like(cast: Cast) -> None:
    assert User.objects.known_as("kira@\N{KELVIN SIGN}oala-legal.example", realm=cast.northlight) == cast.kira


def test_somebody_deactivated_is_signed_out_by_the_next_request(cast: Cast) -> None:
    browser, _ = sign_in("nora@northlight.example", password=PASSWORD)
    User.objects.filter(email="nora@northlight.example").update(is_active=False)
    assert not is_signed_in(browser)
    _, answer = sign_in("nora@northlight.example")
    assert "not correct" in answer.content.decode()
