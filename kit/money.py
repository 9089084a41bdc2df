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
    spoken = Locale.parse(locale, sep="-")
    pattern = parse_pattern(spoken.currency_formats["standard"].pattern)
    pattern.frac_prec = (places, places)
    words = pattern.apply(Decimal(amount_minor).scaleb(-places), spoken, currency=currency.upper(), currency_digits=False)
    # CLDR parts a symbol made of letters from the digits after it; Babel does not yet.
    return re.sub(r"(?<=[^\W\d_])(?=\d)", "\N{NO-BREAK SPACE}", words)
