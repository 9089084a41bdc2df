"""A first password that a person can read out, type and trust."""

import secrets

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS, GROUP_LENGTH = 4, 4


def generate() -> str:
    """Four groups of four letters and digits that are not mistaken for each other: about 79 random bits."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
