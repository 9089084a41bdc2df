"""A workspace furnished as the demo shows it: one chatbot with its firm's FAQs, allowed on the demo websites."""

import csv
from pathlib import Path

from django.conf import settings

from kit.actor import Actor
from subaccounts.models import SubAccount
from subaccounts.tenancy import enter
from workspace import chatbots
from workspace.models import Chatbot, Faq

FOLDER = Path(settings.BASE_DIR) / "demo"

# Slug of the sub-account → its chatbot. The demo websites (`manage.py demo_website`) run on localhost, on any port.
BOTS = {
    "acme-plumbing": {
        "name": "Acme assistant",
        "greeting": "Hello! Dripping tap, cold shower, a price? Ask me anything about Acme Plumbing.",
        "accent": "#1f5f8b",
        "tone": Chatbot.FRIENDLY,
        "instructions": "Name the emergency number 555-0142 whenever water is running. Never promise a time before the calendar was checked.",
    },
    "koala-legal": {
        "name": "Koala front desk",
        "greeting": "Good day. I can tell you about our services, fees and first steps.",
        "accent": "#3d4a3a",
        "tone": Chatbot.FORMAL,
        "instructions": "General information only, no advice on a case. Ask for a name and an e-mail address when a deadline is mentioned.",
    },
    "sunrise-cleaning": {
        "name": "Sunny",
        "greeting": "Hi! Want to know what a cleaning costs or when we can come?",
        "accent": "#e0a526",
        "tone": Chatbot.FRIENDLY,
        "instructions": "Ask for the size of the home before naming a price.",
    },
}


def faqs(slug: str) -> list[dict[str, str]]:
    """The questions and answers of a demo firm."""
    with (FOLDER / "faqs" / f"{slug}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def furnish(sub_account: SubAccount, *, by: Actor) -> Chatbot:
    """The demo chatbot of `sub_account` (one of `BOTS`), made through the deeds; the one that is there when it was made before."""
    slug = sub_account.slug
    with enter(sub_account):
        if made := Chatbot.objects.present().order_by("id").first():
            return made
        websites = [f"{slug}.example", "http://localhost:*"]
        bot = chatbots.create(sub_account=sub_account, by=by, allowed_websites=websites, **BOTS[slug])
        for row in faqs(slug):
            chatbots.save_faq(sub_account=sub_account, faq=Faq(chatbot=bot), by=by, **row)
        return bot
