"""Cells of a CSV that a spreadsheet opens as text, whatever a visitor wrote into them."""


def harmless(cell: object) -> str:
    """`cell` as text; one that a spreadsheet would take for a formula starts with an apostrophe (OWASP, CSV injection)."""
    text = str(cell)
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@", "|", "%") or text[:1] in ("\t", "\r", "\n") else text
