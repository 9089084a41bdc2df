"""What a password must be, on every form that sets one, and the meter that says so while it is typed."""

import threading
import time

import pytest
from django.core.exceptions import ValidationError

from agency import strength
from agency.models import User
from tests.cast import PASSWORD, PLATFORM, Cast, Visitor, host_of
from tests.entrance import Mails, code_in, sign_in

GOOD = "a-sturdy-one-4711"
# Fourteen characters and more each: too common, a row of keys, repeated, the person's own, the agency's own.
WEAK = ["Password1234!!", "qwertyuiop123456", "aB3$aB3$aB3$aB3$", "northlight2026!!", "Nora.Lind.2026", "nora@northlight.example"]


@pytest.mark.parametrize("password", WEAK)
def test_e21_an_easy_password_is_refused(cast: Cast, password: str) -> None:
    browser, _ = sign_in("nora@northlight.example")
    answer = browser.post("/security/password/", {"oldpassword": PASSWORD, "password1": password, "password2": password})
    assert answer.status_code == 200
    assert answer.context["form"].has_error("password1")
    assert cast.nora.check_password(PASSWORD)


def test_every_form_that_sets_a_password_refuses_an_easy_one_and_has_the_meter(cast: Cast, mails: Mails) -> None:
    weak = "qwertyuiop123456"
    twice = {"password1": weak, "password2": weak}
    reset = Visitor(host_of(cast.acme))
    reset.post("/password/reset/", {"email": "tess@acme-plumbing.example"})
    reset.post("/password/reset/code/", {"code": code_in(mails()[-1])})
    User.objects.filter(pk=cast.paul.pk).update(must_change_password=True)
    without = cast.mia
    without.set_unusable_password()
    without.save()
    forms = [
        (Visitor(PLATFORM), "/sign-up/", {"first_name": "Ada", "email": "ada@example.com", **twice}),
        (reset, "/password/reset/new/", twice),
        (Visitor(PLATFORM, cast.nora), "/security/password/", {"oldpassword": PASSWORD, **twice}),
        (Visitor(PLATFORM, without), "/security/password/set/", twice),
        (Visitor(host_of(cast.acme), cast.paul), "/password/first/", twice),
    ]
    for browser, path, data in forms:
        page = browser.get(path)
        assert 'hx-post="/password/strength/"' in page.content.decode(), path
        assert "too easy to guess" in browser.post(path, data).content.decode(), path


def test_signing_up_with_ones_own_name_is_refused(cast: Cast) -> None:
    data = {"first_name": "Wilhelmina", "last_name": "Oppenheimer", "email": "w@example.com", "password1": "wilhelmina-oppenheimer"}
    assert "made of your own name" in Visitor(PLATFORM).post("/sign-up/", data).content.decode()
    assert not User.objects.filter(email="w@example.com").exists()


@pytest.mark.parametrize(
    ("password", "words"),
    [("", ""), ("qwertyuiop12", "Easy to guess"), (GOOD, "Very hard to guess"), ("nora-northlight", "made of your own")],
)
def test_the_meter_says_how_hard_a_password_is_to_guess(cast: Cast, password: str, words: str) -> None:
    piece = Visitor(PLATFORM, cast.nora).post("/password/strength/", {"password1": password}).content.decode()
    assert words in piece
    assert not password or password not in piece
    assert bool(password) == ("<progress" in piece)


def test_the_meter_knows_what_stands_beside_it_in_the_form(cast: Cast) -> None:
    piece = Visitor(PLATFORM).post("/password/strength/", {"password1": "ada.lovelace", "email": "ada.lovelace@example.com"})
    assert "made of your own" in piece.content.decode()


def test_the_meter_is_not_a_way_to_keep_the_server_busy(cast: Cast) -> None:
    began = time.process_time()
    assert Visitor(PLATFORM).post("/password/strength/", {"password1": "aB3$" * 100_000}).status_code == 200
    assert time.process_time() - began < 1
    browser = Visitor(PLATFORM)
    answers = [browser.post("/password/strength/", {"password1": "x"}, REMOTE_ADDR="198.51.100.7").status_code for _ in range(65)]
    assert answers.count(429) == 65 - 60


def test_two_at_once_do_not_score_with_each_others_words() -> None:
    wrong: list[str] = []

    def score(own: str, other: str) -> None:
        for _ in range(40):
            if strength.estimate(f"{own}-{own}", [own]).is_enough or not strength.estimate(f"{other}-xk4-blue", [own]).is_enough:
                wrong.append(own)

    threads = [threading.Thread(target=score, args=pair) for pair in (("brontosaurus", "quetzal"), ("quetzal", "brontosaurus"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_person_who_is_not_saved_yet_can_be_asked_about() -> None:
    with pytest.raises(ValidationError):
        strength.StrengthValidator().validate("ada.lovelace.2026", User(email="ada@example.com", first_name="Ada", last_name="Lovelace"))
    strength.StrengthValidator().validate(GOOD)
