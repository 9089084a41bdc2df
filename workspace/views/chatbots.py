"""Chatbots and the tabs of one: settings, FAQs (views/faqs.py), install, test."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from agency.access import Can
from subaccounts.doors import workspace_door
from workspace import chatbots, replies, responder
from workspace.forms import ChatbotForm
from workspace.models import Chatbot

MOST_LISTED = 100


def present(public_id: UUID) -> Chatbot:
    return get_object_or_404(Chatbot.objects.present(), public_id=public_id)


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def chatbot_list(request: HttpRequest) -> HttpResponse:
    rows = Chatbot.objects.present().with_counts().order_by("-id")[:MOST_LISTED]
    return render(request, "workspace/chatbot_list.html", {"chatbots": rows})


@workspace_door(Can.WORK_IN_WORKSPACE)
def chatbot_new(request: HttpRequest) -> HttpResponse:
    form = ChatbotForm(request.POST or None)
    if form.is_valid():
        try:
            chatbot = chatbots.create(sub_account=request.site.sub_account, by=request.actor, **form.cleaned_data)
        except chatbots.ChatbotLimitReached as refusal:
            form.add_error(None, refusal.message)
            return render(request, "workspace/chatbot_new.html", {"form": form}, status=refusal.status)
        messages.success(request, f"{chatbot.name} is ready. Teach it what visitors ask.")
        return redirect("faq_list", chatbot.public_id)
    return render(request, "workspace/chatbot_new.html", {"form": form})


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def chatbot(request: HttpRequest, public_id: UUID) -> HttpResponse:
    return render(request, "workspace/chatbot.html", {"chatbot": present(public_id)})


@workspace_door(Can.WORK_IN_WORKSPACE)
def chatbot_edit(request: HttpRequest, public_id: UUID) -> HttpResponse:
    chatbot = present(public_id)
    form = ChatbotForm(request.POST or None, initial=ChatbotForm.of(chatbot))
    if form.is_valid():
        chatbots.change(sub_account=request.site.sub_account, chatbot=chatbot, by=request.actor, **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("chatbot", chatbot.public_id)
    return render(request, "workspace/chatbot_edit.html", {"chatbot": chatbot, "form": form})


@workspace_door(Can.WORK_IN_WORKSPACE)
@require_POST
def chatbot_activation(request: HttpRequest, public_id: UUID) -> HttpResponse:
    chatbot = present(public_id)
    is_active = request.POST.get("is_active") == "1"
    chatbots.change(sub_account=request.site.sub_account, chatbot=chatbot, by=request.actor, is_active=is_active)
    messages.success(request, f"{chatbot.name} answers visitors." if is_active else f"{chatbot.name} is off: it shows on no website.")
    return redirect("chatbot", chatbot.public_id)


@workspace_door(Can.WORK_IN_WORKSPACE)
@require_POST
def chatbot_removal(request: HttpRequest, public_id: UUID) -> HttpResponse:
    chatbot = present(public_id)
    chatbots.remove(sub_account=request.site.sub_account, chatbot=chatbot, by=request.actor)
    messages.success(request, f"{chatbot.name} is removed. Its conversations and leads are kept.")
    return redirect("chatbot_list")


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def chatbot_install(request: HttpRequest, public_id: UUID) -> HttpResponse:
    chatbot = present(public_id)
    tag = script_tag(request, chatbot)
    return render(request, "workspace/chatbot_install.html", {"chatbot": chatbot, "tag": tag})


@workspace_door(Can.SEE_WORKSPACE)
@require_GET
def chatbot_test(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask without spending: the responder answers, nothing is stored."""
    chatbot = present(public_id)
    question = request.GET.get("q", "")[: responder.MAX_LENGTH]
    found = responder.answer(chatbot, question) if question.strip() else None
    offered = responder.suggest(chatbot, question) if found and not found.is_known else []
    context = {
        "chatbot": chatbot,
        "question": question,
        "found": found,
        "offered": offered,
        "enough": responder.ENOUGH,
        "reply_cost": replies.cost(request.site.sub_account),
    }
    return render(request, "workspace/chatbot_test.html", context)


def script_tag(request: HttpRequest, chatbot: Chatbot) -> str:
    return f'<script async src="{request.scheme}://{request.get_host()}/widget.js" data-chatbot="{chatbot.public_id}"></script>'
