"""Templates nobody happens to open are still right."""

from pathlib import Path

import pytest
from django import forms
from django.conf import settings
from django.template import Context, Origin, Template, engines
from django.template.loader import get_template, render_to_string

TEMPLATES = Path(settings.BASE_DIR) / "templates"
NAMES = sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html"))


@pytest.mark.parametrize("name", NAMES)
def test_it_compiles(name: str) -> None:
    assert get_template(name)


class AddressForm(forms.Form):
    email = forms.EmailField(label="E-mail", widget=forms.EmailInput(attrs={"placeholder": "E-mail address"}))
    about = forms.CharField(required=False, widget=forms.Textarea(attrs={"placeholder": "For instance: a plumber"}))


def test_a_page_of_the_sign_in_library_without_a_template_of_ours_still_wears_our_pieces() -> None:
    source = """{% load allauth %}
      {% element h1 %}Hello{% endelement %}
      {% element form form=form method="post" action="/x/" %}{% slot body %}{% element fields form=form %}{% endelement %}{% endslot %}
      {% slot actions %}{% element button type="submit" tags="danger" %}Remove{% endelement %}{% element button href="/y/" %}Go{% endelement %}{% endslot %}
      {% endelement %}{% element badge tags="success" %}Fine{% endelement %}"""
    page = Template(source, Origin("page", "page.html")).render(Context({"form": AddressForm(), "page_layout": "entrance"}))

    assert "<h1>Hello</h1>" in page
    assert '<form class="form" method="post" action="/x/">' in page
    assert '<button type="submit" class="button" data-kind="danger">Remove</button>' in page
    assert '<a href="/y/" class="button" data-kind="primary">Go</a>' in page
    assert '<span class="pill" data-tone="good">Fine</span>' in page
    assert page.count('class="field"') == 2


def test_a_field_has_label_help_and_error_that_belong_together() -> None:
    html = AddressForm({"email": "nonsense"}).as_div()

    assert '<label for="id_email">E-mail</label>' in html
    assert 'aria-describedby="id_email_error"' in html
    assert 'id="id_email_error"' in html
    assert '<a href="#id_email">E-mail</a>: Enter a valid email address.' in html


def test_an_optional_field_says_so_and_a_placeholder_that_repeats_the_label_goes() -> None:
    html = AddressForm().as_div()

    assert '<label for="id_about">About <span class="optional">(optional)</span></label>' in html
    assert "E-mail address" not in html
    assert 'placeholder="For instance: a plumber"' in html
    assert 'id="id_about"' in html


def test_a_chart_of_nothing_says_so() -> None:
    html = engines["django"].from_string("{% bar_chart points 'Replies' %}").render({"points": [("Mon", 0), ("Tue", 0)]})

    assert "Nothing in this time yet" in html
    assert "<rect" not in html


def test_a_secret_is_never_in_an_attribute() -> None:
    html = render_to_string("kit/secret.html", {"secret_id": "key", "secret": "s3cret"})

    assert html.count("s3cret") == 1
    assert ">s3cret<" in html
