"""Cells of a CSV that a spreadsheet opens as text, whatever a visitor wrote into them."""

# The last four are what an East Asian keyboard writes, and what a spreadsheet takes for the first four.
_FORMULA = ("=", "+", "-", "@", "|", "%", "＝", "＋", "－", "＠")


def harmless(cell: object) -> str:
    """`cell` as text; one that a spreadsheet would take for a formula starts with an apostrophe (OWASP, CSV injection)."""
    text = str(cell)
    return f"'{text}" if text.lstrip()[:1] in _FORMULA or text[:1] in ("\t", "\r", "\n") else text
