"""What the client's visitors reach: the script, the chat's frame, and its four endpoints.

None of it reads a cookie: the browser proves itself with two headers (workspace/visitors.py). That is why the endpoints
need no CSRF token: another site cannot send those headers here, there is nothing ambient to ride on.
"""

import functools
import json
from pathlib import Path
from typing import Any
from uuid import UUID

from csp.decorators import csp_replace
from django import forms
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from kit.doors import open_door
from kit.refusal import Refusal
from kit.requests import client_address, client_network
from whitelabel.theme import theme
from workspace import conversations, leads, limits, replies, visitors, websites
from workspace.models import Chatbot, Contact, Message

SHOWN = 50
MAX_BODY = 20_000


class ChatNotHere(Refusal):
    """Unknown, switched off, removed: a visitor cannot tell which."""

    code = "not_found"
    status = 404
    default_message = "This chat is not available."


class NotUnderstood(Refusal):
    code = "bad_request"
    default_message = "This message could not be read."


class ContactForm(forms.Form):
    name = forms.CharField(max_length=120)
    email = forms.EmailField(max_length=254)
    phone = forms.CharField(max_length=40, required=False)


@open_door("the script a client's website loads")
@require_GET
def script(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(_script(), content_type="text/javascript; charset=utf-8")
    response.headers["Cache-Control"] = "public, max-age=3600"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@functools.cache
def _script() -> bytes:
    return Path(str(finders.find("widget/widget.js"))).read_bytes()


@open_door("the chat, in a frame on the websites the client allows")
@require_GET
@xframe_options_exempt
@never_cache
def frame(request: HttpRequest, public_id: UUID) -> HttpResponseBase:
    chatbot = _answering(public_id)
    if chatbot is None:
        return HttpResponse(ChatNotHere.default_message, status=404, content_type="text/plain; charset=utf-8")
    policy = {"frame-ancestors": websites.frame_ancestors(chatbot.allowed_websites)}

    @csp_replace(policy)
    def page(request: HttpRequest) -> HttpResponse:
        return render(request, "widget/frame.html", {"chatbot": chatbot, "theme": theme(chatbot.accent)})

    return page(request)


@open_door("a visitor opens the chat")
@require_GET
@never_cache
def session(request: HttpRequest, public_id: UUID) -> JsonResponse:
    """A ticket for this visitor, and what was said so far."""
    chatbot = _present(public_id)
    sub_account, network = request.site.sub_account, client_network(request)
    limits.admit(sub_account, ("visit", network, limits.VISITS_PER_NETWORK))
    visit = visitors.welcome(sub_account, chatbot, token=_token(request), network=network)
    said = _said(chatbot, visit.contact, after=None)
    return JsonResponse({"token": visit.token, "ticket": visit.ticket, "messages": said})


@csrf_exempt  # no cookie is read: the proof is two headers that no other site can send
@open_door("a visitor writes", unaudited="a conversation is its own record")
@require_POST
def messages(request: HttpRequest, public_id: UUID) -> JsonResponse:
    chatbot, token_hash = _proven(request, public_id)
    sub_account = request.site.sub_account
    body = _body(request)
    limits.message(sub_account, visitor=token_hash, network=client_network(request))
    told = replies.reply(
        sub_account=sub_account,
        chatbot=chatbot,
        contact=visitors.meet(sub_account, token_hash),
        message_id=_uuid(body.get("id")),
        text=_text(body, "text"),
        page_url=_text(body, "page"),
        address=client_address(request),
    )
    stored = _line(told.message) if told.message else None
    return JsonResponse(
        {
            "question": told.question.public_id,
            "reply": stored,
            "text": told.text,
            "wants_contact": told.wants_contact,
            "suggestions": told.suggestions,
        }
    )


@open_door("a visitor reads on")
@require_GET
@never_cache
def conversation(request: HttpRequest, public_id: UUID) -> JsonResponse:
    """What was said after the message `after`: how a person's answers reach the visitor."""
    chatbot = _present(public_id)
    limits.admit(request.site.sub_account, ("read", client_network(request), limits.READS_PER_NETWORK))
    return JsonResponse({"messages": _said(chatbot, visitors.find(_token(request)), after=request.GET.get("after"))})


@csrf_exempt  # no cookie is read: the proof is two headers that no other site can send
@open_door("a visitor leaves a name and an e-mail", unaudited="a lead is its own record")
@require_POST
def lead(request: HttpRequest, public_id: UUID) -> JsonResponse:
    chatbot, token_hash = _proven(request, public_id)
    sub_account = request.site.sub_account
    body = _body(request)
    limits.lead(sub_account, network=client_network(request))
    form = ContactForm(body)
    if not chatbot.collects_leads:
        raise ChatNotHere
    if not form.is_valid():
        return JsonResponse({"errors": {name: problems[0] for name, problems in form.errors.items()}}, status=400)
    if not body.get("website"):  # a field people do not see: whoever fills it in is a script, and is told nothing
        leads.leave(sub_account=sub_account, chatbot=chatbot, contact=visitors.meet(sub_account, token_hash), **form.cleaned_data)
    return JsonResponse({"text": "Thank you! Someone from the team will get back to you."})


def _answering(public_id: UUID) -> Chatbot | None:
    return Chatbot.objects.answering().filter(public_id=public_id).first()


def _present(public_id: UUID) -> Chatbot:
    chatbot = _answering(public_id)
    if chatbot is None:
        raise ChatNotHere
    return chatbot


def _proven(request: HttpRequest, public_id: UUID) -> tuple[Chatbot, str]:
    """The chatbot and the hash of the visitor's token. Raises `ChatNotHere`, `TicketRefused`."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin" or request.content_type != "application/json":
        raise ChatNotHere  # not from our frame: a browser says so itself, and JSON makes every other site ask first
    chatbot = _present(public_id)
    token_hash = visitors.check(
        request.site.sub_account,
        chatbot,
        token=_token(request),
        ticket=request.headers.get("X-Ticket", "")[:1000],
        network=client_network(request),
    )
    return chatbot, token_hash


def _token(request: HttpRequest) -> str:
    return request.headers.get("X-Visitor", "")[:100]


def _body(request: HttpRequest) -> dict[str, Any]:
    if int(request.headers.get("Content-Length") or 0) > MAX_BODY:
        raise conversations.MessageTooLong
    try:
        body = json.loads(request.body)
        json.dumps(body, ensure_ascii=False).encode()  # half a character ("\\ud800") is JSON, but no text
    except (ValueError, RecursionError) as error:  # RecursionError: thousands of brackets in one another
        raise NotUnderstood from error
    if not isinstance(body, dict):
        raise NotUnderstood
    return body


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str) or "\x00" in value:
        raise NotUnderstood
    return value


def _uuid(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError as error:
        raise NotUnderstood from error


def _said(chatbot: Chatbot, contact: Contact | None, *, after: str | None) -> list[dict[str, Any]]:
    """The lines of the visitor's present conversation, oldest first; only those after the line `after` when it is given."""
    current = conversations.current(chatbot, contact) if contact else None
    if current is None:
        return []
    lines = current.messages.order_by("-id")
    if after:
        known = current.messages.filter(public_id=_uuid(after)).first()
        lines = lines.filter(pk__gt=known.pk) if known else lines
    return [_line(message) for message in reversed(lines[:SHOWN])]


def _line(message: Message) -> dict[str, Any]:
    return {"id": message.public_id, "role": message.role, "text": message.text, "at": message.sent_at}
