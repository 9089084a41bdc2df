"""Making, changing and removing chatbots and their FAQs."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Sum

from agency import audit
from agency.models import Agency
from kit import clock
from kit.actor import Actor
from kit.refusal import Refusal
from subaccounts.models import SubAccount
from workspace.models import Chatbot, Faq


class ChatbotLimitReached(Refusal):
    """The agency's plan includes no further chatbot, over all its sub-accounts. Nothing was made."""

    code = "chatbot_limit_reached"
    status = 409


class QuestionTaken(Refusal):
    code = "question_taken"
    status = 409
    default_message = "This chatbot already answers that question. Nothing was changed. Edit the one that is there."


@transaction.atomic
def create(*, sub_account: SubAccount, by: Actor, **fields: Any) -> Chatbot:
    """A new chatbot. The agency's cap is checked with the agency's row locked, so two at once cannot both take the last place.

    Raises `ChatbotLimitReached`.
    """
    agency = Agency.objects.select_for_update(no_key=True, of=["self"]).select_related("plan").get(pk=sub_account.agency_id)
    taken = SubAccount.objects.of(agency).ready().aggregate(sum=Sum("chatbots"))["sum"] or 0
    if agency.max_chatbots is not None and taken >= agency.max_chatbots:
        raise ChatbotLimitReached(
            f"The plan of {agency.name} includes {agency.max_chatbots} chatbots, and all of them are in use. Nothing was made. "
            f"Remove a chatbot you no longer need, or ask {agency.name} to upgrade its plan."
        )
    chatbot = Chatbot.objects.create(**fields)
    SubAccount.objects.filter(pk=sub_account.pk).update(chatbots=F("chatbots") + 1)
    _record("chatbot.created", sub_account, by, chatbot.name, after=_shown(chatbot))
    return chatbot


@transaction.atomic
def change(*, sub_account: SubAccount, chatbot: Chatbot, by: Actor, **fields: Any) -> Chatbot:
    """Set `fields`; what changed is on record."""
    chatbot = Chatbot.objects.select_for_update().get(pk=chatbot.pk)
    before = _shown(chatbot)
    for name, value in fields.items():
        setattr(chatbot, name, value)
    chatbot.save()
    after = _shown(chatbot)
    changed = [name for name in after if before[name] != after[name]]
    _record("chatbot.changed", sub_account, by, chatbot.name, before={n: before[n] for n in changed}, after={n: after[n] for n in changed})
    return chatbot


@transaction.atomic
def remove(*, sub_account: SubAccount, chatbot: Chatbot, by: Actor) -> None:
    """Take it off every website and give its place back. Its conversations and leads stay. Again changes nothing."""
    Agency.objects.select_for_update(no_key=True, of=["self"]).get(pk=sub_account.agency_id)
    gone = Chatbot.objects.present().filter(pk=chatbot.pk).update(removed_at=clock.now(), is_active=False)
    if gone:
        SubAccount.objects.filter(pk=sub_account.pk, chatbots__gt=0).update(chatbots=F("chatbots") - 1)
    _record("chatbot.removed", sub_account, by, chatbot.name)


@transaction.atomic
def save_faq(*, sub_account: SubAccount, faq: Faq, question: str, answer: str, by: Actor) -> Faq:
    """Add or change a FAQ. Raises `QuestionTaken` when the chatbot has that question, in whatever case."""
    is_new = faq.pk is None
    before = {} if is_new else {"question": faq.question, "answer": faq.answer}
    faq.question, faq.answer, faq.updated_at = question, answer, clock.now()
    try:
        with transaction.atomic():
            faq.save()
    except IntegrityError as error:
        raise QuestionTaken from error
    _record(
        "faq.added" if is_new else "faq.changed", sub_account, by, question, before=before, after={"question": question, "answer": answer}
    )
    return faq


@transaction.atomic
def delete_faq(*, sub_account: SubAccount, faq: Faq, by: Actor) -> None:
    """Delete it for good; messages that used it stay, without the link."""
    _record("faq.deleted", sub_account, by, faq.question, before={"question": faq.question, "answer": faq.answer})
    faq.delete()


def _shown(chatbot: Chatbot) -> dict[str, Any]:
    names = ("name", "greeting", "instructions", "tone", "accent", "allowed_websites", "collects_leads", "fallback_text", "is_active")
    return {name: getattr(chatbot, name) for name in names}


def _record(action: str, sub_account: SubAccount, by: Actor, subject: str, **changes: dict[str, Any]) -> None:
    audit.record(action, by=by, agency=sub_account.agency, sub_account_id=sub_account.public_id, subject=subject, **changes)
