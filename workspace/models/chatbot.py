from typing import Any

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models.functions import Coalesce, Upper
from django.urls import reverse

from kit import clock
from kit.ids import uuid7


def _count(rows: models.QuerySet[Any]) -> Coalesce:
    counted = rows.order_by().values("chatbot").annotate(count=models.Count("pk")).values("count")
    return Coalesce(models.Subquery(counted), 0, output_field=models.IntegerField())


class ChatbotQuerySet(models.QuerySet["Chatbot"]):
    def present(self) -> "ChatbotQuerySet":
        """Those that were not removed; a removed one stays for the conversations it had."""
        return self.filter(removed_at=None)

    def with_counts(self) -> "ChatbotQuerySet":
        """With `faq_count` and `conversation_count`."""
        return self.annotate(
            faq_count=_count(Faq.objects.filter(chatbot=models.OuterRef("pk"))),
            conversation_count=_count(apps.get_model("workspace", "Conversation")._default_manager.filter(chatbot=models.OuterRef("pk"))),
        )

    def answering(self) -> "ChatbotQuerySet":
        return self.present().filter(is_active=True)


class Chatbot(models.Model):
    """What visitors of a client's website talk to: answers from its FAQs, and asks for a name and an e-mail when it cannot."""

    FRIENDLY = "friendly"
    FORMAL = "formal"
    BRIEF = "brief"
    TONES = [(FRIENDLY, "Friendly"), (FORMAL, "Formal"), (BRIEF, "Brief")]

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    name = models.CharField(max_length=60)
    greeting = models.CharField(max_length=300, default="Hello! How can I help you today?")
    instructions = models.TextField(max_length=2000, blank=True)
    tone = models.CharField(max_length=12, choices=TONES, default=FRIENDLY)
    accent = models.CharField(max_length=7, default="#2f6f4f")
    allowed_websites = ArrayField(models.CharField(max_length=260), default=list, blank=True)
    collects_leads = models.BooleanField(default=True)
    fallback_text = models.CharField(max_length=400, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = ChatbotQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["removed_at", "id"], name="chatbot_present")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("chatbot", args=[self.public_id])


class Faq(models.Model):
    """A question visitors ask and the answer the client gives. What it is found by is kept by the database itself."""

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    chatbot = models.ForeignKey(Chatbot, on_delete=models.CASCADE, related_name="faqs", db_index=False)
    question = models.CharField(max_length=300)
    answer = models.TextField(max_length=2000)
    uses = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(default=clock.now)
    search = models.GeneratedField(
        expression=SearchVector("question", weight="A", config="english") + SearchVector("answer", weight="D", config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta:
        constraints = [models.UniqueConstraint("chatbot", Upper("question"), name="faq_question_once")]
        indexes = [
            models.Index(fields=["chatbot", "-id"], name="faq_newest"),
            GinIndex(fields=["search"], name="faq_search"),
            GinIndex(OpClass(Upper("question"), name="gin_trgm_ops"), name="faq_question_similar"),
        ]

    def __str__(self) -> str:
        return self.question


class FaqImport(models.Model):
    """A CSV of FAQs on its way in: looked at first (dry run), then confirmed, then written in small steps.

    `rows` holds what was read, one object per data row: line, question, answer, outcome (add, update, same, reject)
    and problem. `done` counts the rows that were dealt with, so that a killed job goes on where it stopped.
    """

    DRY_RUN = "dry_run"
    CONFIRMED = "confirmed"
    DONE = "done"
    CANCELLED = "cancelled"
    STATES = [(DRY_RUN, "Checked, waiting for you"), (CONFIRMED, "Importing"), (DONE, "Done"), (CANCELLED, "Cancelled")]

    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    chatbot = models.ForeignKey(Chatbot, on_delete=models.CASCADE, related_name="imports")
    file_name = models.CharField(max_length=120)
    rows = models.JSONField(default=list)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    failures = models.JSONField(default=list)
    state = models.CharField(max_length=12, choices=STATES, default=DRY_RUN)
    user_id = models.CharField(max_length=64, blank=True)
    user_label = models.CharField(max_length=160, blank=True)
    created_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.file_name

    def get_absolute_url(self) -> str:
        return reverse("faq_import", args=[self.chatbot.public_id, self.public_id])

    @property
    def has_changes(self) -> bool:
        return any(row["outcome"] in ("add", "update") for row in self.rows)

    @property
    def progress_line(self) -> str:
        return f"{self.done:,} of {self.total:,} rows"
