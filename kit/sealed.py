"""Text that has to wait somewhere for a moment and must not be readable there: a password on its way to the page or the mail."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


def seal(text: str, *, purpose: str) -> str:
    """`text`, encrypted and authenticated with a key made of SECRET_KEY for this one purpose."""
    return _cipher(settings.SECRET_KEY, purpose).encrypt(text.encode()).decode()


def unseal(token: str, *, purpose: str, max_age: int | None = None) -> str | None:
    """What was sealed for `purpose`, or None when it was not, was altered, or is older than `max_age` seconds."""
    for secret in map(str, [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]):
        try:
            return _cipher(secret, purpose).decrypt(token.encode(), ttl=max_age).decode()
        except InvalidToken:
            continue
    return None


def _cipher(secret: str, purpose: str) -> Fernet:
    key = hashlib.blake2b(purpose.encode(), key=hashlib.sha512(secret.encode()).digest(), digest_size=32).digest()
    return Fernet(base64.urlsafe_b64encode(key))
