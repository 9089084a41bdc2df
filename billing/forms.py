"""What people type about webhooks."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError

from billing import webhooks
from billing.event_types import EventType
from billing.models import Endpoint
from kit import clock
from kit.egress import MAX_URL_LENGTH

ALL, CHOSEN = "all", "chosen"


class EndpointForm(forms.Form):
    """`events()` is what to listen to; an empty list is everything."""

    url = forms.CharField(
        label="Address",
        max_length=MAX_URL_LENGTH,
        widget=forms.TextInput(attrs={"inputmode": "url", "placeholder": "https://example.com/webhooks", "autocapitalize": "none"}),
        help_text="Where each event is sent to, by HTTPS. It has to answer within ten seconds.",
    )
    description = forms.CharField(required=False, max_length=120, help_text="What listens there, for instance “Our CRM”.")
    hears = forms.ChoiceField(
        label="It hears", choices=[(ALL, "Every event, also of kinds that are added later"), (CHOSEN, "Only the events I choose")], initial=ALL,
        widget=forms.RadioSelect,
    )  # fmt: skip
    event_types = forms.MultipleChoiceField(label="Events", required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, data: Mapping[str, Any] | None = None, *, kinds: list[EventType], endpoint: Endpoint | None = None) -> None:
        initial: dict[str, Any] = {} if endpoint is None else {"url": endpoint.url, "description": endpoint.description}
        if endpoint is not None and endpoint.event_types:
            initial |= {"hears": CHOSEN, "event_types": endpoint.event_types}
        super().__init__(data, initial=initial)
        field = self.fields["event_types"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [
            (group, [(kind.code, f"{kind.words} ({kind.code})") for kind in inside])
            for group, inside in groupby(kinds, lambda kind: kind.group)
        ]

    def clean(self) -> dict[str, Any]:
        wanted = super().clean() or {}
        if wanted.get("hears") == CHOSEN and not wanted.get("event_types") and "event_types" not in self.errors:
            self.add_error("event_types", "Choose at least one event, or every event above.")
        return wanted

    def events(self) -> list[str]:
        return self.cleaned_data["event_types"] if self.cleaned_data["hears"] == CHOSEN else []


class ReplayForm(forms.Form):
    """`moment()` is when that day began in `zone`."""

    since = forms.DateField(label="Since", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))

    def __init__(self, data: Mapping[str, Any] | None = None, *, zone: str) -> None:
        super().__init__(data)
        self.zone = zone

    def clean_since(self) -> date:
        since, today = self.cleaned_data["since"], clock.today_in(self.zone)
        if not today - timedelta(days=webhooks.REPLAY_DAYS) <= since <= today:
            raise ValidationError(f"Choose one of the last {webhooks.REPLAY_DAYS} days: events are kept that long.")
        return since  # type: ignore[no-any-return]

    def moment(self) -> datetime:
        return beginning_of(self.cleaned_data["since"], self.zone)


def beginning_of(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), tzinfo=ZoneInfo(zone))
