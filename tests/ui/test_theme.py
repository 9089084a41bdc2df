"""Whatever colour an agency picks, its pages can be read."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from whitelabel import theme as themes
from whitelabel.theme import DARK_SURFACES, LIGHT_SURFACES, NotAColour, Scheme, contrast, theme

ACCENTS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@hypothesis_settings(max_examples=300, deadline=None)
@given(ACCENTS)
@example("#000000")
@example("#ffffff")
@example("#ffff00")
@example("#0000ff")
@example("#767676")
def test_every_accent_gives_a_readable_theme(accent: str) -> None:
    for scheme, surfaces in ((theme(accent).light, LIGHT_SURFACES), (theme(accent).dark, DARK_SURFACES)):
        backgrounds = (*surfaces, scheme.wash)

        assert contrast(scheme.on, scheme.fill) >= 4.5
        assert contrast(scheme.on, scheme.hover) >= 4.5
        assert all(contrast(scheme.text, background) >= 4.5 for background in backgrounds)
        assert all(contrast(scheme.mark, background) >= 3 for background in backgrounds)


def test_an_accent_that_reads_is_kept_as_it_is() -> None:
    assert theme("#6d28d9").light.fill == theme("#6D28D9").light.text == "#6d28d9"


def test_contrast_is_the_one_of_the_standard() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("accent", ["", "red", "#fff", "#12345g", "#123456;}body{", "123456"])
def test_only_a_plain_colour_is_an_accent(accent: str) -> None:
    with pytest.raises(NotAColour):
        theme(accent)


def test_the_stylesheet_has_the_platforms_theme_and_the_surfaces_it_was_computed_for() -> None:
    css = Path(settings.BASE_DIR / "static/css/app.css").read_text()
    found = {name: (light, dark) for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", css)}
    platform = theme(themes.PLATFORM_ACCENT)

    for name in Scheme.__dataclass_fields__:
        assert found[f"brand-{name}"] == (getattr(platform.light, name), getattr(platform.dark, name))
    for position, name in enumerate(("canvas", "sunken", "raised")):
        assert found[name][0] in LIGHT_SURFACES
        assert found[name][1] == DARK_SURFACES[position]
