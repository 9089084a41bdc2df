"""Conversations and leads, for the people who answer."""

import csv
from collections.abc import Iterator
from uuid import UUID

from django.contrib import messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from agency.access import Can
from credits import ledger
from subaccounts.doors import workspace_door
from workspace import cells, conversations, leads, pages
from workspace.forms import AnswerForm
from workspace.models import Chatbot, Conversation, Lead, Message

FILTERS = [("", "All"), ("waiting", "Waiting for you"), ("bot", "Chatbot answers"), ("person", "You answer"), ("closed", "Closed")]
SHOWN = 200


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def conversation_list(request: HttpRequest) -> HttpResponse:
    query, chosen, bot = (pages.asked(request, name) for name in ("q", "status", "chatbot"))
    rows = _found(Conversation.objects.select_related("contact", "chatbot"), query, chosen, bot)
    page = pages.newest(rows, "last_message_at", request.GET.get("cursor", ""))
    context = {
        "page": page,
        "query": query,
        "chosen": chosen,
        "chosen_bot": bot,
        "filters": FILTERS,
        "chatbots": Chatbot.objects.order_by("name")[:50],
    }
    return render(request, "workspace/_conversation_rows.html" if request.htmx else "workspace/conversation_list.html", context)


def _found(rows: QuerySet[Conversation], query: str, chosen: str, bot: str) -> QuerySet[Conversation]:
    if chosen == "waiting":
        rows = rows.filter(unknown_count__gt=0)
    elif chosen in (Conversation.BOT, Conversation.PERSON, Conversation.CLOSED):
        rows = rows.filter(status=chosen)
    if bot:
        rows = rows.filter(chatbot__name=bot)
    if query:
        said = Message.objects.filter(conversation=OuterRef("pk"), text__icontains=query)
        rows = rows.filter(Q(contact__name__icontains=query) | Q(contact__email__icontains=query) | Exists(said))
    return rows


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def conversation_thread(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """One conversation, oldest first. Polled by htmx, which gets the lines alone."""
    return _thread(request, _conversation(public_id), AnswerForm())


def _thread(request: HttpRequest, conversation: Conversation, form: AnswerForm) -> HttpResponse:
    said = list(reversed(conversation.messages.select_related("faq").order_by("-id")[:SHOWN]))
    costs = ledger.amounts_of(message.entry_key for message in said if message.entry_key)
    lines = [(message, costs.get(message.entry_key)) for message in said]
    context = {"conversation": conversation, "lines": lines, "form": form, "leads": conversation.leads.order_by("-id")}
    return render(request, "workspace/_lines.html" if request.htmx else "workspace/conversation_thread.html", context)


@workspace_door(Can.WORK_IN_WORKSPACE)
@require_POST
def conversation_answer(request: HttpRequest, public_id: UUID) -> HttpResponse:
    conversation = _conversation(public_id)
    form = AnswerForm(request.POST)
    if not form.is_valid():
        return _thread(request, conversation, form)
    conversations.say(conversation=conversation, text=form.cleaned_data["text"], by=request.actor, sub_account=request.site.sub_account)
    return redirect(conversation)


@workspace_door(Can.WORK_IN_WORKSPACE)
@require_POST
def conversation_status(request: HttpRequest, public_id: UUID) -> HttpResponse:
    conversation = _conversation(public_id)
    status = request.POST.get("status", "")
    if status not in dict(Conversation.STATUSES):
        return HttpResponse("Unknown status.", status=400, content_type="text/plain")
    conversations.set_status(conversation=conversation, status=status, by=request.actor, sub_account=request.site.sub_account)
    return redirect(conversation)


def _conversation(public_id: UUID) -> Conversation:
    return get_object_or_404(Conversation.objects.select_related("contact", "chatbot"), public_id=public_id)


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def lead_list(request: HttpRequest) -> HttpResponse:
    query, chosen = (pages.asked(request, name) for name in ("q", "status"))
    page = pages.newest(_leads(query, chosen), "created_at", request.GET.get("cursor", ""))
    filters = [("", "All"), ("open", "Open"), ("handled", "Handled")]
    return render(request, "workspace/lead_list.html", {"page": page, "query": query, "chosen": chosen, "filters": filters})


def _leads(query: str, chosen: str) -> QuerySet[Lead]:
    rows = Lead.objects.select_related("conversation__chatbot")
    if chosen in ("open", "handled"):
        rows = rows.filter(handled_at__isnull=chosen == "open")
    if query:
        rows = rows.filter(Q(name__icontains=query) | Q(email__icontains=query) | Q(question__icontains=query))
    return rows


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def lead_export(request: HttpRequest) -> HttpResponseBase:
    """What the list shows under its search and filter, as a CSV."""
    query, chosen = (pages.asked(request, name) for name in ("q", "status"))
    rows = _leads(query, chosen).order_by("-created_at", "-id")[:50_000]
    found = [_exported(lead) for lead in rows]  # read here: a streamed body is sent after the request has left the workspace
    response = StreamingHttpResponse(_csv_lines(found), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="leads.csv"'
    return response


def _exported(lead: Lead) -> list[str]:
    handled = lead.handled_at.isoformat(timespec="seconds") if lead.handled_at else ""
    row = [lead.created_at.isoformat(timespec="seconds"), lead.name, lead.email, lead.phone, lead.question, handled]
    return [cells.harmless(cell) for cell in row]


class _Echo:
    def write(self, line: str) -> str:
        return line


def _csv_lines(rows: list[list[str]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(["created_at", "name", "email", "phone", "question", "handled_at"])
    for row in rows:
        yield writer.writerow(row)


@workspace_door(Can.WORK_IN_WORKSPACE)
@require_POST
def lead_handling(request: HttpRequest, public_id: UUID) -> HttpResponse:
    lead = leads.handle(lead=get_object_or_404(Lead, public_id=public_id), by=request.actor, sub_account=request.site.sub_account)
    messages.success(request, f"{lead.name} is ticked off.")
    return redirect("lead_list")
