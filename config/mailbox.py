"""The development mailbox at /dev/mail/: what Canopy has sent, so that links can be clicked without a mail server.

Reads what Django's file e-mail backend has written under MAILBOX_DIR. Development and tests only.
"""

import email
import re
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

from kit.doors import open_door

SEPARATOR = re.compile(rb"^-{79}\n", re.MULTILINE)
KEPT = 200
HTML_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox allow-popups allow-popups-to-escape-sandbox"


@dataclass(frozen=True)
class Mail:
    name: str
    sender: str
    to: str
    reply_to: str
    subject: str
    sent_at: datetime | None
    text: str
    html: str


def mails() -> list[Mail]:
    """The newest mails, newest first."""
    files = sorted(Path(settings.MAILBOX_DIR).glob("*.log"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    return [mail for file in files[:KEPT] for mail in reversed(_read(file))][:KEPT]


def _read(file: Path) -> list[Mail]:
    parts = [part for part in SEPARATOR.split(file.read_bytes()) if part.strip()]
    return [_parse(f"{file.stem}-{number}", part) for number, part in enumerate(parts)]


def _parse(name: str, raw: bytes) -> Mail:
    message = email.message_from_bytes(raw.rstrip(b"\n"), _class=EmailMessage, policy=default)
    date = message["Date"]
    return Mail(
        name=name,
        sender=str(message["From"] or ""),
        to=str(message["To"] or ""),
        reply_to=str(message["Reply-To"] or ""),
        subject=str(message["Subject"] or ""),
        sent_at=parsedate_to_datetime(str(date)) if date else None,
        text=_body(message, "plain"),
        html=_body(message, "html"),
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()).strip() if part else ""


def _find(name: str) -> Mail:
    found = next((mail for mail in mails() if mail.name == name), None)
    if found is None:
        raise Http404("no such mail")
    return found


@open_door("a laptop's own mails", unaudited="changes nothing")
def inbox(request: HttpRequest) -> HttpResponse:
    return render(request, "mailbox/inbox.html", {"mails": mails()})


@open_door("a laptop's own mails", unaudited="changes nothing")
def mail(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, "mailbox/mail.html", {"mail": _find(name)})


@open_door("a laptop's own mails", unaudited="changes nothing")
def mail_html(request: HttpRequest, name: str) -> HttpResponse:
    """The HTML version as a mail program would show it: its own styles, no scripts, nothing fetched."""
    found = _find(name)
    if not found.html:
        raise Http404("this mail has no HTML version")
    response = HttpResponse(found.html)
    response.headers["Content-Security-Policy"] = HTML_POLICY
    return response


urlpatterns = [
    path("dev/mail/", inbox, name="mailbox"),
    path("dev/mail/<slug:name>/", mail, name="mailbox_mail"),
    path("dev/mail/<slug:name>/html/", mail_html, name="mailbox_mail_html"),
]
