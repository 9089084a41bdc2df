"""Text that can be read on a chatbot's colour."""

import re


def is_colour(value: str) -> bool:
    return re.fullmatch(r"#[0-9a-f]{6}", value) is not None


def ink_on(colour: str) -> str:
    """White or near-black, whichever contrasts more with `colour` (`#rrggbb`), by the relative luminance of WCAG 2.2."""
    red, green, blue = (_linear(int(colour[place : place + 2], 16) / 255) for place in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#ffffff" if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.0525 else "#111111"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
