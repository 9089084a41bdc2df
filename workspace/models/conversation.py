from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models.functions import Upper
from django.urls import reverse

from kit import clock
from kit.ids import uuid7
from workspace.models.chatbot import Chatbot, Faq


class Contact(models.Model):
    """A person outside: known by a random token in the browser (stored hashed), by name and e-mail once they gave them."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    token_hash = models.CharField(max_length=64, null=True)  # noqa: DJ001 (unique where there is one)
    name = models.CharField(max_length=120, blank=True)
    email = models.EmailField(max_length=254, blank=True)
    phone = models.CharField(max_length=40, blank=True)
    first_seen_at = models.DateTimeField(default=clock.now)
    last_seen_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token_hash"], name="contact_token_once")]
        indexes = [models.Index(fields=["-last_seen_at", "-id"], name="contact_recent")]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """The name, else the e-mail, else a stable nickname made of the public id."""
        return self.name or self.email or f"Visitor {self.public_id.hex[-4:].upper()}"


class Conversation(models.Model):
    """One visit's talk with one chatbot. While a person has taken over, the chatbot keeps quiet and nothing is spent."""

    BOT = "bot"
    PERSON = "person"
    CLOSED = "closed"
    STATUSES = [(BOT, "Chatbot answers"), (PERSON, "You answer"), (CLOSED, "Closed")]

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    chatbot = models.ForeignKey(Chatbot, on_delete=models.CASCADE, related_name="conversations")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="conversations", db_index=False)
    status = models.CharField(max_length=8, choices=STATUSES, default=BOT)
    page_url = models.CharField(max_length=500, blank=True)
    preview = models.CharField(max_length=160, blank=True, help_text="How the visitor's latest message begins.")
    message_count = models.PositiveIntegerField(default=0)
    unknown_count = models.PositiveIntegerField(default=0, help_text="Questions nobody has answered yet.")
    started_at = models.DateTimeField(default=clock.now)
    last_message_at = models.DateTimeField(default=clock.now)

    class Meta:
        indexes = [
            models.Index(fields=["-last_message_at", "-id"], name="conversation_recent"),
            models.Index(fields=["contact", "chatbot", "-id"], name="conversation_of_contact"),
            models.Index(fields=["-last_message_at"], name="conversation_waiting", condition=models.Q(unknown_count__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.contact} with {self.chatbot}"

    def get_absolute_url(self) -> str:
        return reverse("conversation_thread", args=[self.public_id])


class Message(models.Model):
    """One line of a conversation. A visitor's carries its outcome; a chatbot's the FAQ it used and the entry that paid for it."""

    VISITOR = "visitor"
    BOT = "bot"
    PERSON = "person"
    ROLES = [(VISITOR, "Visitor"), (BOT, "Chatbot"), (PERSON, "Person")]

    WAITING = ""
    ANSWERED = "answered"
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"
    OUTCOMES = [(WAITING, "Waiting"), (ANSWERED, "Answered"), (UNKNOWN, "Not known"), (UNAVAILABLE, "Not available")]

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False)
    role = models.CharField(max_length=8, choices=ROLES)
    text = models.TextField(max_length=2000)
    outcome = models.CharField(max_length=12, choices=OUTCOMES, default=WAITING, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often a hold for its reply was given back.")
    reply_to = models.OneToOneField("self", null=True, on_delete=models.CASCADE, related_name="reply")
    faq = models.ForeignKey(Faq, null=True, on_delete=models.SET_NULL, related_name="+")
    confidence = models.FloatField(null=True)
    entry_key = models.CharField(max_length=120, blank=True)
    user_id = models.CharField(max_length=64, blank=True)
    user_label = models.CharField(max_length=160, blank=True)
    sent_at = models.DateTimeField(default=clock.now)

    class Meta:
        indexes = [
            models.Index(fields=["conversation", "id"], name="message_in_order"),
            GinIndex(OpClass(Upper("text"), name="gin_trgm_ops"), name="message_search"),
        ]

    def __str__(self) -> str:
        return self.text[:60]


class Lead(models.Model):
    """A visitor who left a way to be reached, usually because the chatbot did not know."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    conversation = models.ForeignKey(Conversation, null=True, on_delete=models.SET_NULL, related_name="leads")
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="leads")
    name = models.CharField(max_length=120)
    email = models.EmailField(max_length=254)
    phone = models.CharField(max_length=40, blank=True)
    question = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField(default=clock.now)
    handled_at = models.DateTimeField(null=True, blank=True)
    handled_by = models.CharField(max_length=160, blank=True)

    class Meta:
        indexes = [models.Index(fields=["-created_at", "-id"], name="lead_newest")]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"
