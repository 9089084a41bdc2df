import pytest
from django.core.exceptions import ValidationError

from workspace import cells, websites


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("acme.example", ["acme.example"]),
        ("https://www.acme.example/contact?x=1#y", ["https://acme.example"]),
        ("ACME.example\nacme.example, shop.acme.example", ["acme.example", "shop.acme.example"]),
        ("*.acme.example", ["*.acme.example"]),
        ("http://localhost:9000 localhost:*", ["http://localhost:9000", "localhost:*"]),
        ("xn--mnchen-3ya.example:8443", ["xn--mnchen-3ya.example:8443"]),
        ("", []),
    ],
)
def test_websites_are_tidied(typed: str, kept: list[str]) -> None:
    assert websites.parse(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "*",
        "'self'",
        "data:",
        "a.example;",
        "a.example:0",
        "a.example:99999",
        "acme.example:*",
        "ftp://a.example",
        "-a.example",
        "münchen.example",
    ],
)
def test_what_is_no_website_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        websites.parse(typed)


def test_a_website_is_allowed_with_and_without_www() -> None:
    assert websites.frame_ancestors(["acme.example", "http://localhost:*", "10.0.0.1"]) == [
        "'self'", "acme.example", "www.acme.example", "http://localhost:*", "10.0.0.1",
    ]  # fmt: skip


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "|cmd", "%0a", "＝1+1", "＠SUM(A1)"])
def test_k01_a_formula_becomes_text(cell: str) -> None:
    assert cells.harmless(cell) == f"'{cell}"


def test_ordinary_text_stays_as_it_is() -> None:
    assert cells.harmless("Jane Doe, 12 Mill Road") == "Jane Doe, 12 Mill Road"
