"""A visitor leaves a way to be reached."""

from django.db import transaction

from agency import audit
from kit import clock, events
from kit.actor import Actor
from subaccounts import figures
from subaccounts.models import SubAccount
from workspace import conversations
from workspace.models import Chatbot, Contact, Lead, Message


@transaction.atomic
def leave(*, sub_account: SubAccount, chatbot: Chatbot, contact: Contact, name: str, email: str, phone: str = "") -> Lead:
    """Keep the visitor's name and address with the question they last asked. A second form in one conversation corrects the first."""
    conversation = conversations.current(chatbot, contact)
    Contact.objects.select_for_update().filter(pk=contact.pk).update(name=name, email=email, phone=phone)
    question = ""
    if conversation is not None:
        asked = conversation.messages.filter(role=Message.VISITOR).order_by("-id")
        latest = asked.filter(outcome__in=[Message.UNKNOWN, Message.UNAVAILABLE]).first() or asked.first()
        question = latest.text if latest else ""
    earlier = Lead.objects.filter(contact=contact, conversation=conversation, handled_at=None).first() if conversation else None
    lead = earlier or Lead(contact=contact, conversation=conversation)
    lead.name, lead.email, lead.phone, lead.question = name, email, phone, question
    lead.save()
    if earlier is None:
        figures.add(sub_account, leads=1)
        data = {"lead_id": str(lead.public_id), "chatbot": chatbot.name, "name": name, "email": email, "phone": phone, "question": question}
        events.publish("lead.created", agency_id=sub_account.agency.public_id, sub_account_id=sub_account.public_id, data=data)
    return lead


@transaction.atomic
def handle(*, lead: Lead, by: Actor, sub_account: SubAccount) -> Lead:
    """Tick a lead off. Again changes nothing."""
    lead = Lead.objects.select_for_update().get(pk=lead.pk)
    if lead.handled_at is None:
        lead.handled_at, lead.handled_by = clock.now(), conversations.name_of(by)
        lead.save(update_fields=["handled_at", "handled_by"])
    audit.record("lead.handled", by=by, agency=sub_account.agency, sub_account_id=sub_account.public_id, subject=lead.name)
    return lead
