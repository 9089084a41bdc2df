"""What is well-formed in a workspace."""

import re
from typing import Any

from django import forms
from django.db.models import Value
from django.db.models.functions import Upper

from subaccounts.forms import plain
from workspace import websites
from workspace.models import Chatbot, Faq


class ChatbotForm(forms.Form):
    name = forms.CharField(max_length=60, help_text="Visitors see it at the top of the chat, for instance “Acme assistant”.")
    greeting = forms.CharField(
        max_length=300, help_text="The first thing a visitor reads.", initial=Chatbot._meta.get_field("greeting").default
    )
    tone = forms.ChoiceField(
        choices=Chatbot.TONES, help_text="How greetings, thanks and “I do not know” are put. Your FAQs are always given word for word."
    )
    instructions = forms.CharField(
        max_length=2000,
        required=False,
        widget=forms.Textarea,
        help_text="House rules for answering. Shown beside each conversation to whoever takes over.",
    )
    accent = forms.CharField(
        label="Colour", initial=Chatbot._meta.get_field("accent").default, widget=forms.TextInput(attrs={"type": "color"}),
        help_text="Of the chat's button and header. The text on it turns black or white, whichever reads better.",
    )  # fmt: skip
    allowed_websites = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "acme.example"}),
        help_text="One per line. The chat appears on these websites and nowhere else; “www.” is included.",
    )
    collects_leads = forms.BooleanField(
        required=False,
        initial=True,
        label="Ask for name and e-mail when it does not know",
        help_text="What visitors leave is listed under Leads.",
    )
    fallback_text = forms.CharField(
        max_length=400, required=False, label="When it does not know", widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Your own words instead of “I am sorry, I do not know that.”",
    )  # fmt: skip

    @staticmethod
    def of(chatbot: Chatbot) -> dict[str, Any]:
        """What the form shows of a chatbot that exists."""
        names = ("name", "greeting", "tone", "instructions", "accent", "collects_leads", "fallback_text")
        return {**{name: getattr(chatbot, name) for name in names}, "allowed_websites": "\n".join(chatbot.allowed_websites)}

    def clean_accent(self) -> str:
        accent = str(self.cleaned_data["accent"]).strip().lower()
        if not re.fullmatch(r"#[0-9a-f]{6}", accent):
            raise forms.ValidationError("A colour is written like #2f6f4f.")
        return accent

    def clean_allowed_websites(self) -> list[str]:
        return websites.parse(self.cleaned_data["allowed_websites"])


class FaqForm(forms.Form):
    question = forms.CharField(max_length=300, help_text="The way a visitor would ask it.")
    answer = forms.CharField(max_length=2000, widget=forms.Textarea, help_text="Given word for word, as plain text.")

    def __init__(self, *args: Any, faq: Faq, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.faq = faq

    def clean_question(self) -> str:
        question = " ".join(str(self.cleaned_data["question"]).split())
        others = Faq.objects.filter(chatbot_id=self.faq.chatbot_id).exclude(pk=self.faq.pk).annotate(upper=Upper("question"))
        if others.filter(upper=Upper(Value(question))).exists():
            raise forms.ValidationError("This chatbot already answers that question. Edit the one that is there.")
        return question


class ImportForm(forms.Form):
    file = forms.FileField(label="CSV file", max_length=200, help_text="Two columns, question and answer, in UTF-8; at most 2,000 rows.")


class AnswerForm(forms.Form):
    text = forms.CharField(
        max_length=2000, label="Your answer", widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Write to the visitor…"})
    )


class SettingsForm(forms.Form):
    name = forms.CharField(
        max_length=120, label="Name of this workspace", help_text="Shown at the top left and to your agency.", validators=[plain]
    )
    unavailable_message = forms.CharField(
        max_length=300,
        label="When the chat cannot answer",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Visitors read this while the workspace is paused or has no credits. Nothing is spent then, and their message is kept.",
    )
