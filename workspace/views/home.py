"""A workspace's home and its settings."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from agency import audit
from agency.access import Can
from kit import clock
from subaccounts import figures
from subaccounts.doors import workspace_door
from subaccounts.models import SubAccount
from workspace.forms import SettingsForm
from workspace.models import Chatbot, Conversation, Faq, Lead


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def workspace_home(request: HttpRequest) -> HttpResponse:
    sub_account = request.site.sub_account
    today = clock.today_in(sub_account.agency.time_zone)
    first = today - timedelta(days=29)
    by_day = figures.by_day(sub_account, first, today)
    days = [first + timedelta(days=n) for n in range(30)]
    chatbots = list(Chatbot.objects.present().order_by("id")[:5])
    steps = next_steps(chatbots)
    context = {
        "figures": figures.total(sub_account, first, today),
        "trend": [by_day[day].conversations if day in by_day else 0 for day in days],
        "points": [(day, by_day[day].replies if day in by_day else 0) for day in days],
        "latest": Conversation.objects.select_related("contact", "chatbot").order_by("-last_message_at", "-id")[:6],
        "waiting": Conversation.objects.filter(unknown_count__gt=0).count(),
        "open_leads": Lead.objects.filter(handled_at=None).count(),
        "steps": steps,
        "steps_done": sum(step["is_done"] for step in steps),
    }
    return render(request, "workspace/home.html", context)


def next_steps(chatbots: list[Chatbot]) -> list[dict[str, Any]]:
    """What a new workspace still needs; empty once everything is done."""
    first = chatbots[0] if chatbots else None
    has_faqs = first is not None and Faq.objects.filter(chatbot__in=chatbots).exists()
    has_website = any(chatbot.allowed_websites for chatbot in chatbots)
    has_talked = Conversation.objects.exclude(page_url="").exists()  # from a website, not from the chat opened by itself
    steps: list[dict[str, Any]] = [
        {
            "name": "Make a chatbot",
            "line": "A name, a greeting and a colour.",
            "url_name": "chatbot_new",
            "chatbot": None,
            "is_done": first is not None,
        },
        {
            "name": "Teach it your FAQs",
            "line": "Import a CSV or write them one by one.",
            "url_name": "faq_import_new",
            "chatbot": first,
            "is_done": has_faqs,
        },
        {
            "name": "Allow your website",
            "line": "The chat appears there and nowhere else.",
            "url_name": "chatbot_edit",
            "chatbot": first,
            "is_done": has_website,
        },
        {
            "name": "Put it on your website",
            "line": "One line of code.",
            "url_name": "chatbot_install",
            "chatbot": first,
            "is_done": has_talked,
        },
    ]
    return [] if all(step["is_done"] for step in steps) else steps


@workspace_door(Can.MANAGE_WORKSPACE)
def workspace_settings(request: HttpRequest) -> HttpResponse:
    sub_account = request.site.sub_account
    before = {"name": sub_account.name, "unavailable_message": sub_account.unavailable_message}
    form = SettingsForm(request.POST or None, initial=before)
    if form.is_valid():
        _save(sub_account, before, form.cleaned_data, request)
        messages.success(request, "Saved.")
        return redirect("workspace_settings")
    return render(request, "workspace/settings.html", {"form": form})


@transaction.atomic
def _save(sub_account: SubAccount, before: dict[str, str], after: dict[str, str], request: HttpRequest) -> None:
    sub_account = SubAccount.objects.select_related("agency").get(pk=sub_account.pk)
    for name, value in after.items():
        setattr(sub_account, name, value)
    sub_account.save(update_fields=list(after))  # not an update in the database alone: the host cache listens to saves
    audit.record(
        "workspace.settings_changed", by=request.actor, agency=sub_account.agency, sub_account_id=sub_account.public_id,
        subject=after["name"], before=before, after=after,
    )  # fmt: skip
