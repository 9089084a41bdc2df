"""Mails leave through the outbox: rendered in the transaction that causes them, sent after it, once per key."""

import json
import re
from collections.abc import Sequence
from email.utils import formataddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.validators import validate_email
from django.template import Context, TemplateDoesNotExist
from django.template.loader import get_template

from kit import outbox, sealed
from kit.models import OutboxMessage

TOPIC = "mail"
_UNSAFE_IN_NAME = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069@<>\"]")


class MailSealedElsewhere(Exception):
    """A waiting mail cannot be read with today's SECRET_KEY nor with any of SECRET_KEY_FALLBACKS."""


def send(
    *,
    to: str | Sequence[str],
    template: str,
    context: dict[str, Any],
    key: str = "",
    reply_to: str = "",
    sender_name: str = "",
) -> None:
    """Put one mail in the outbox. A second one with the same non-empty `key` is dropped.

    `template` names `<template>.txt`, whose first paragraph is the subject, and `<template>.html`, which may be missing.
    Nothing in the text version is escaped, everything in the HTML version is. Raises ValidationError for an address that is none.
    """
    recipients = [to] if isinstance(to, str) else list(to)
    for address in [*recipients, *([reply_to] if reply_to else [])]:
        validate_email(address)
    subject, text = _text(template, context)
    payload = {
        "to": recipients,
        "from": sender(sender_name or settings.PLATFORM_NAME),
        "reply_to": [reply_to] if reply_to else [],
        "subject": subject,
        "text": text,
        "html": _html(template, context),
    }
    _put(payload, key)


def send_message(message: EmailMessage, key: str = "") -> None:
    """Put a message that somebody else composed (allauth) in the outbox. Attachments are not supported."""
    html = next((str(part.content) for part in getattr(message, "alternatives", []) if part.mimetype == "text/html"), "")
    payload = {
        "to": list(message.to),
        "from": message.from_email or sender(settings.PLATFORM_NAME),
        "reply_to": list(message.reply_to),
        "subject": _one_line(str(message.subject)),
        "text": str(message.body),
        "html": html,
    }
    _put(payload, key)


def _put(payload: dict[str, Any], key: str) -> None:
    """Sealed, because a mail may carry a first password or a sign-in code and nobody who reads the database may."""
    outbox.put(TOPIC, {"sealed": sealed.seal(json.dumps(payload), purpose=TOPIC)}, key)


def sender(name: str) -> str:
    """Our own address under a display name: nothing in `name` can add a header, a second address or a look-alike one."""
    safe = " ".join(_UNSAFE_IN_NAME.sub("", name).split())[:64]
    return formataddr((safe, settings.DEFAULT_FROM_EMAIL))


def _text(template: str, context: dict[str, Any]) -> tuple[str, str]:
    source: Any = get_template(f"{template}.txt")  # the wrapper cannot switch escaping off, the template inside can
    rendered = source.template.render(Context(context, autoescape=False)).strip()
    subject, _, body = rendered.partition("\n\n")
    return _one_line(subject), body.strip() + "\n"


def _html(template: str, context: dict[str, Any]) -> str:
    try:
        return get_template(f"{template}.html").render(context)
    except TemplateDoesNotExist as missing:
        if missing.args[0] != f"{template}.html":
            raise
        return ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


@outbox.handler(TOPIC)
def deliver(message: OutboxMessage) -> None:
    """Hand one mail to the mail server. The Message-ID is the outbox row's, so a repeat after a crash is recognisable."""
    opened = sealed.unseal(message.payload["sealed"], purpose=TOPIC)
    if opened is None:
        raise MailSealedElsewhere("sealed with another SECRET_KEY")
    payload = json.loads(opened)
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2]
    mail = EmailMultiAlternatives(
        subject=payload["subject"],
        body=payload["text"],
        from_email=payload["from"],
        to=payload["to"],
        reply_to=payload["reply_to"],
        headers={"Message-ID": f"<outbox-{message.pk}@{domain}>"},
    )
    if payload["html"]:
        mail.attach_alternative(payload["html"], "text/html")
    mail.send()
