"""The demo firms' FAQs, and a workspace that has them."""

import csv
from pathlib import Path

from django.conf import settings

from kit.actor import Actor
from subaccounts.models import SubAccount
from subaccounts.tenancy import enter
from workspace import chatbots
from workspace.models import Chatbot, Faq

FOLDER = Path(settings.BASE_DIR) / "demo"


def faqs(slug: str) -> list[dict[str, str]]:
    """The questions and answers of a demo firm."""
    with (FOLDER / "faqs" / f"{slug}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def furnish(sub_account: SubAccount, *, by: Actor) -> Chatbot:
    """A chatbot with its firm's FAQs, allowed on the demo websites, which run on localhost on any port."""
    with enter(sub_account):
        bot = chatbots.create(
            sub_account=sub_account, by=by, name=f"{sub_account.name} assistant", accent="#1f5f8b", allowed_websites=["http://localhost:*"]
        )
        for row in faqs(sub_account.slug):
            chatbots.save_faq(sub_account=sub_account, faq=Faq(chatbot=bot), by=by, **row)
        return bot
