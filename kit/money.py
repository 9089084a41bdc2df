"""Money is an integer of minor units and an ISO 4217 code; here it becomes words."""

import re
from decimal import Decimal

from babel import Locale
from babel.numbers import parse_pattern

# ISO 4217's exponents where they are not 2. Babel's own follow CLDR, which rounds some currencies to what is seen in shops.
_EXPONENTS = {
    **dict.fromkeys(
        ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"], 0
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}


def exponent(currency: str) -> int:
    """How many decimal places the minor unit of `currency` is: 2 for USD, 0 for JPY, 3 for KWD."""
    return _EXPONENTS.get(currency.upper(), 2)


def in_words(amount_minor: int, currency: str, locale: str = "en") -> str:
    """`amount_minor` of `currency` as people of `locale` write it: 1999, "USD" is $19.99."""
    places = exponent(currency)
    return _spoken(Decimal(amount_minor).scaleb(-places), currency, locale, (places, places))


def price_in_words(price: Decimal, currency: str, locale: str = "en") -> str:
    """A price in major units that may have parts of a minor one, up to six decimals: 0.05625, "USD" is $0.05625."""
    return _spoken(price, currency, locale, (exponent(currency), 6))


def _spoken(amount: Decimal, currency: str, locale: str, places: tuple[int, int]) -> str:
    spoken = Locale.parse(locale, sep="-")
    pattern = parse_pattern(spoken.currency_formats["standard"].pattern)
    pattern.frac_prec = places
    words = pattern.apply(amount, spoken, currency=currency.upper(), currency_digits=False)
    # CLDR parts a symbol made of letters from the digits after it; Babel does not yet.
    return re.sub(r"(?<=[^\W\d_])(?=\d)", "\N{NO-BREAK SPACE}", words)
