"""The FAQs of a chatbot: list, form, deletion, and their import from a CSV."""

import csv
from collections.abc import Iterable
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from agency.access import Can
from subaccounts.doors import workspace_door
from workspace import cells, chatbots, imports, pages
from workspace.forms import FaqForm, ImportForm
from workspace.models import Faq, FaqImport
from workspace.views.chatbots import present

TEMPLATE_ROWS = [
    ("question", "answer"),
    ("What are your opening hours?", "We are open Monday to Friday from 8:00 to 17:00."),
    ("Do you charge for a quote?", "No, estimates are free."),
]


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def faq_list(request: HttpRequest, public_id: UUID) -> HttpResponse:
    chatbot = present(public_id)
    query = pages.asked(request, "q")
    rows = chatbot.faqs.defer("search")
    if query:
        rows = rows.filter(question__icontains=query) | rows.filter(answer__icontains=query)
    page = pages.newest(rows, "updated_at", request.GET.get("cursor", ""))
    latest = chatbot.imports.filter(state=FaqImport.CONFIRMED).order_by("-id").first()
    return render(request, "workspace/faq_list.html", {"chatbot": chatbot, "page": page, "query": query, "running": latest})


@workspace_door(Can.WORK_IN_WORKSPACE)
def faq_new(request: HttpRequest, public_id: UUID) -> HttpResponse:
    return _form(request, Faq(chatbot=present(public_id)), "Added.")


@workspace_door(Can.WORK_IN_WORKSPACE)
def faq(request: HttpRequest, public_id: UUID, faq_id: UUID) -> HttpResponse:
    return _form(request, get_object_or_404(present(public_id).faqs, public_id=faq_id), "Saved.")


def _form(request: HttpRequest, faq: Faq, done: str) -> HttpResponse:
    form = FaqForm(
        request.POST or None, initial={"question": faq.question or request.GET.get("question", ""), "answer": faq.answer}, faq=faq
    )
    if form.is_valid():
        chatbots.save_faq(sub_account=request.site.sub_account, faq=faq, by=request.actor, **form.cleaned_data)
        messages.success(request, done)
        return redirect("faq_new" if "another" in request.POST else "faq_list", faq.chatbot.public_id)
    return render(request, "workspace/faq_form.html", {"chatbot": faq.chatbot, "faq": faq, "form": form})


@workspace_door(Can.WORK_IN_WORKSPACE)
@require_POST
def faq_deletion(request: HttpRequest, public_id: UUID, faq_id: UUID) -> HttpResponse:
    chatbot = present(public_id)
    faq = get_object_or_404(chatbot.faqs, public_id=faq_id)
    chatbots.delete_faq(sub_account=request.site.sub_account, faq=faq, by=request.actor)
    messages.success(request, f"“{faq.question}” is deleted.")
    return redirect("faq_list", chatbot.public_id)


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def faq_import_template(request: HttpRequest, public_id: UUID) -> HttpResponse:
    present(public_id)
    return _csv("faq-template.csv", TEMPLATE_ROWS)


@workspace_door(Can.WORK_IN_WORKSPACE)
def faq_import_new(request: HttpRequest, public_id: UUID) -> HttpResponse:
    chatbot = present(public_id)
    form = ImportForm(request.POST or None, request.FILES or None)
    status = 200
    if form.is_valid():
        file = form.cleaned_data["file"]
        content = file.read(imports.MOST_BYTES + 1)
        try:
            made = imports.dry_run(
                sub_account=request.site.sub_account, chatbot=chatbot, file_name=file.name, content=content, by=request.actor
            )
            return redirect(made)
        except imports.NotReadable as refusal:
            form.add_error("file", refusal.message)
            status = refusal.status
    return render(request, "workspace/faq_import_new.html", {"chatbot": chatbot, "form": form}, status=status)


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def faq_import(request: HttpRequest, public_id: UUID, import_id: UUID) -> HttpResponse:
    """The dry run, the progress and the result of one import. Polled by htmx while it runs; a reload shows the same."""
    found = _import(public_id, import_id)
    context = {"chatbot": found.chatbot, "import": found, "counts": imports.counts(found), "rows": found.rows[:200]}
    return render(request, "workspace/_faq_import.html" if request.htmx else "workspace/faq_import.html", context)


@workspace_door(Can.WORK_IN_WORKSPACE)
@require_POST
def faq_import_confirmation(request: HttpRequest, public_id: UUID, import_id: UUID) -> HttpResponse:
    found = imports.confirm(sub_account=request.site.sub_account, faq_import=_import(public_id, import_id), by=request.actor)
    return redirect(found)


@workspace_door(Can.WORK_IN_WORKSPACE)
@require_POST
def faq_import_cancellation(request: HttpRequest, public_id: UUID, import_id: UUID) -> HttpResponse:
    found = imports.cancel(sub_account=request.site.sub_account, faq_import=_import(public_id, import_id), by=request.actor)
    messages.info(request, f"{found.file_name} was not imported. Nothing was changed.")
    return redirect("faq_list", found.chatbot.public_id)


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def faq_import_failures(request: HttpRequest, public_id: UUID, import_id: UUID) -> HttpResponse:
    """The rejected rows with their reasons, to be corrected and uploaded again: the extra columns are ignored."""
    found = _import(public_id, import_id)
    rows = [(row["question"], row["answer"], str(row["line"]), row["problem"]) for row in found.failures]
    return _csv("faq-import-rejected.csv", [("question", "answer", "line", "problem"), *rows])


def _import(public_id: UUID, import_id: UUID) -> FaqImport:
    chatbot = present(public_id)
    found = chatbot.imports.filter(public_id=import_id).first()
    if found is None:
        raise Http404
    found.chatbot = chatbot
    return found


def _csv(name: str, rows: Iterable[tuple[str, ...]]) -> HttpResponse:
    response = HttpResponse("\ufeff", content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    csv.writer(response).writerows([[cells.harmless(cell) for cell in row] for row in rows])
    return response
