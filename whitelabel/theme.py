"""One accent colour in, the colours of a whole theme out, readable in both schemes.

The contrast rules are WCAG 2.2's (1.4.3 and 1.4.11, level AA); the perceptual steps use Björn Ottosson's Oklab.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache

PLATFORM_ACCENT = "#14674b"
TEXT_CONTRAST = 4.5
MARK_CONTRAST = 3.0
# On dark surfaces the bare minimum looks dim: aim higher than the law there.
DARK_TEXT_CONTRAST = 6.5
DARK_MARK_CONTRAST = 4.0
WHITE = "#ffffff"
INK = "#000000"

# The surfaces of static/css/app.css on which the accent appears, darkest and lightest of each scheme.
LIGHT_SURFACES = ("#ffffff", "#f6f7f6")
DARK_SURFACES = ("#141615", "#0f1110", "#1b1d1c")

_HEX = re.compile(r"#[0-9a-f]{6}")


class NotAColour(ValueError):
    """The accent is not written as #rrggbb."""


@dataclass(frozen=True)
class Scheme:
    """The accent's colours in one scheme, each `#rrggbb`.

    `on` reads on `fill` and on `hover`; `text` reads on every surface and on `wash`; `mark` (focus ring, chart, tab line)
    stands out from every surface.
    """

    fill: str
    hover: str
    on: str
    text: str
    mark: str
    wash: str


@dataclass(frozen=True)
class Theme:
    light: Scheme
    dark: Scheme

    def css(self) -> str:
        """Custom properties for `:root`; nothing in it comes from a person except through `Scheme`."""
        pairs = (
            f"--brand-{part.name}:light-dark({getattr(self.light, part.name)},{getattr(self.dark, part.name)})" for part in fields(Scheme)
        )
        return ":root{" + ";".join(pairs) + "}"


@lru_cache(maxsize=512)
def theme(accent: str) -> Theme:
    """The theme of one accent (`#rrggbb`, any case). Raises `NotAColour` for anything else."""
    accent = accent.strip().lower()
    if not _HEX.fullmatch(accent):
        raise NotAColour(f"{accent!r} is not a colour like {PLATFORM_ACCENT}")
    return Theme(
        light=_scheme(accent, LIGHT_SURFACES, _mix(accent, WHITE, 0.07), -0.01, TEXT_CONTRAST, MARK_CONTRAST),
        dark=_scheme(accent, DARK_SURFACES, _mix(accent, DARK_SURFACES[0], 0.10), 0.01, DARK_TEXT_CONTRAST, DARK_MARK_CONTRAST),
    )


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours: 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _scheme(accent: str, surfaces: tuple[str, ...], wash: str, step: float, text: float, mark: float) -> Scheme:
    backgrounds = (*surfaces, wash)
    fill, hover, on = _fill(accent)
    return Scheme(
        fill=fill,
        hover=hover,
        on=on,
        text=_nudge(accent, step, lambda colour: all(contrast(colour, other) >= text for other in backgrounds)),
        mark=_nudge(accent, step, lambda colour: all(contrast(colour, other) >= mark for other in backgrounds)),
        wash=wash,
    )


def _fill(accent: str) -> tuple[str, str, str]:
    """The accent itself wherever white or black reads on it, with a hover that moves away from its text."""
    on = WHITE if contrast(accent, WHITE) >= TEXT_CONTRAST else INK
    step = -0.01 if on == WHITE else 0.01
    fill = _nudge(accent, step, lambda colour: contrast(colour, on) >= TEXT_CONTRAST)
    lightness, a, b = _oklab(fill)
    hover = _hex(min(1.0, max(0.0, lightness + 5 * step)), a, b)
    return fill, hover if contrast(hover, on) >= TEXT_CONTRAST else fill, on


def _nudge(colour: str, step: float, reads: Callable[[str], bool]) -> str:
    """`colour`, lighter or darker by as few steps as make `reads` true; hue and chroma stay as far as sRGB has them."""
    lightness, a, b = _oklab(colour)
    candidate = colour
    while not reads(candidate):
        lightness += step
        if not 0 <= lightness <= 1:
            return INK if step < 0 else WHITE
        candidate = _hex(lightness, a, b)
    return candidate


def _mix(colour: str, base: str, share: float) -> str:
    mixed = (part * share + other * (1 - share) for part, other in zip(_channels(colour), _channels(base), strict=True))
    return "#" + "".join(f"{round(channel):02x}" for channel in mixed)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _linear(colour: str) -> tuple[float, float, float]:
    red, green, blue = (channel / 255 for channel in _channels(colour))
    return _to_linear(red), _to_linear(green), _to_linear(blue)


def _to_linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _from_linear(channel: float) -> float:
    return 12.92 * channel if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055


def _luminance(colour: str) -> float:
    red, green, blue = _linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _oklab(colour: str) -> tuple[float, float, float]:
    red, green, blue = _linear(colour)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _hex(lightness: float, a: float, b: float) -> str:
    """Oklab to `#rrggbb`; chroma gives way where sRGB ends, so that lightness, and with it contrast, moves steadily."""
    for tenths in range(10, -1, -1):
        channels = _rgb(lightness, a * tenths / 10, b * tenths / 10)
        if all(-0.002 <= channel <= 1.002 for channel in channels):
            break
    return "#" + "".join(f"{round(min(1.0, max(0.0, channel)) * 255):02x}" for channel in channels)


def _rgb(lightness: float, a: float, b: float) -> tuple[float, float, float]:
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    return _signed(red), _signed(green), _signed(blue)


def _signed(channel: float) -> float:
    return _from_linear(channel) if channel >= 0 else channel
