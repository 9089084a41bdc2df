import json
import logging

import pytest
import structlog
from django.test import Client

from config.logging import REDACTED, clean, configure, redact


@pytest.fixture
def lines(capsys):
    """The log of the test as production writes it, parsed."""
    root = logging.getLogger()
    before = (root.handlers, root.level)
    configure("INFO", as_json=True)
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    root.handlers, root.level = before


SECRETS = [
    "sk_live_51Habcdefghijk",
    "sk_test_51Habcdefghijk",
    "rk_live_abcdefgh1234",
    "sk-proj-abcdefghijklmnop",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "Bearer abc.def-ghi",
    "Basic bm9yYTpwYXNz",
    "__Host-session=k3n9x7q2",
    "password=canopy-demo-2026",
    "'password': 'canopy-demo-2026'",
    '"new_password2": "canopy-demo-2026"',
    "token=abcdef012345",
    "?code=482913&next=/",
    "postgresql://canopy:canopy-secret@db/canopy",
    "eyJhbGciOi.eyJzdWIiOi.SflKxwRJSM",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_secret_is_blanked(secret):
    cleaned = clean(f"before {secret} after")

    assert REDACTED in cleaned
    for part in ("51Habc", "abcdefgh", "MfKQ9", "abc.def", "bm9y", "k3n9", "demo-2026", "482913", "canopy-secret", "SflKx"):
        assert part not in cleaned
    assert cleaned.startswith("before")


def test_what_is_no_secret_stays():
    text = "POST /sub-accounts/ 303 in 12 ms for acme-plumbing: tokenised, key figures, 20 codes"
    assert clean(text) == text


def test_a_field_with_a_telling_name_is_blanked_at_any_depth():
    event = redact(None, "info", {"form": {"password1": "x", "recovery_codes": ["1"], "name": "Acme"}, "cookies": "a=b", "code": "refused"})

    assert event["form"] == {"password1": REDACTED, "recovery_codes": REDACTED, "name": "Acme"}
    assert event["cookies"] == REDACTED
    assert event["code"] == "refused"


def test_a_line_break_in_a_value_makes_no_second_line(lines):
    """ASVS 16.4.1."""
    forged = 'x\n{"event": "forged", "level": "info"}\r\n\u2028\u202e'
    structlog.get_logger("canopy.test").info("seen", agent=forged)
    logging.getLogger("somebody.else").warning("user said %s", forged)

    found = lines()

    assert [line["logger"] for line in found] == ["canopy.test", "somebody.else"]
    assert "\n" not in found[0]["agent"]
    assert "\u202e" not in found[1]["event"]


def test_the_standard_library_and_tracebacks_are_redacted_too(lines):
    try:
        raise ValueError("token=abcdef012345")
    except ValueError:
        logging.getLogger("celery").exception("failed for sk_live_51Habcdefghijk")

    text = json.dumps(lines())
    assert "Traceback" in text
    assert "51Habc" not in text
    assert "abcdef012345" not in text


def test_a_request_leaves_one_line_without_its_query(lines, cast):
    Client(HTTP_HOST="localhost:8000").get("/sign-in/?code=482913&email=nora@northlight.example", HTTP_COOKIE="__Host-session=stolen")

    (line,) = [line for line in lines() if line["event"] == "request"]
    assert line["method"] == "GET"
    assert line["path"] == "/sign-in/"
    assert line["status"] == 200
    assert line["ms"] > 0
    assert len(line["request_id"]) == 32
    assert "482913" not in json.dumps(line)
    assert "stolen" not in json.dumps(line)


def test_the_line_of_a_workspace_names_agency_and_workspace(lines, cast):
    Client(HTTP_HOST="acme-plumbing.localhost:8000").get("/sign-in/")

    (line,) = [line for line in lines() if line["event"] == "request"]
    assert (line["agency"], line["workspace"]) == ("northlight", "acme-plumbing")
