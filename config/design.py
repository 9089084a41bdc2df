"""The design page: every piece on one page, to look at and to test. Development and tests only."""

from datetime import date, timedelta
from types import SimpleNamespace

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from config.context import AGENCY_SECTIONS, PERSON_LINKS, Banner, Link, Place
from kit import clock
from kit.doors import open_door
from subaccounts.switching import Account
from whitelabel.resolve import platform_brand

CLIENTS = (
    ("Acme Plumbing", "Springfield", "good", "Active", 1204, (4, 9, 7, 12, 18, 15, 21)),
    ("Koala Legal", "Hobart", "warn", "Suspended", 310, (9, 7, 8, 3, 2, 0, 0)),
    ("Sunrise Cleaning and Window Services of Greater Northern Springfield", "Springfield", "good", "Active", 87, (0, 2, 1, 4, 3, 6, 5)),
)


class SampleForm(forms.Form):
    """One field of every kind."""

    business = forms.CharField(label="Business name", help_text="Shown to the client and on every line of your statement.")
    email = forms.EmailField(label="Client's e-mail")
    website = forms.URLField(label="Website", required=False, assume_scheme="https")
    time_zone = forms.ChoiceField(label="Time zone", choices=[("utc", "UTC"), ("oslo", "Europe/Oslo")])
    about = forms.CharField(label="What they do", widget=forms.Textarea, required=False)
    policy = forms.ChoiceField(
        label="While suspended",
        widget=forms.RadioSelect,
        choices=[("read", "The client signs in and sees its history"), ("lock", "The client sees a page with your note")],
    )
    faqs = forms.FileField(label="FAQs", required=False, help_text="A CSV file with the columns question and answer, up to 1 MB.")
    notify = forms.BooleanField(label="E-mail me when credits run low", required=False, help_text="At most once a day.")


def sample_frame(request: HttpRequest) -> SimpleNamespace:
    """The frame an owner sees, whoever asks."""
    sections = [Link(name, "#content", icon, name == "Sub-accounts") for name, icon, _, _ in AGENCY_SECTIONS]
    assisting = "You are working in Acme Plumbing as Nora Lind. Everything you change is recorded. This ends"
    banners = [
        Banner(
            "Assisting", "assist", "lifebuoy", assisting, clock.now() + timedelta(minutes=24), "Return to Northlight Digital", request.path
        ),
        Banner("Trial", "neutral", "clock", "11 days left in your trial.", action="See plans", action_url="#plans"),
    ]
    return SimpleNamespace(
        brand=platform_brand(), site_kind="platform", person=True, person_name="Nora Lind", person_email="nora@northlight.example", role="Agency Owner",
        place=Place("Northlight Digital", "Growth plan", is_sub_account=False), sections=sections, has_switcher=True, home_url="#content",
        agency_name="Northlight Digital", accounts=[Account(name, request.path, is_link=False) for name, *_ in CLIENTS], has_many_accounts=True,
        banners=banners, search=Link("Search sub-accounts", request.path, "magnifying-glass"),
        person_links=[Link(name, "#content", icon) for name, icon, _ in PERSON_LINKS],
    )  # fmt: skip


@open_door("the pieces of every page, with made-up content", unaudited="changes nothing")
def design(request: HttpRequest) -> HttpResponse:
    """With `?errors=1` the form is shown as it looks after a refused submission."""
    messages.success(request, "Acme Plumbing is open. The password was sent to paul@acme-plumbing.example.")
    today = date(2026, 11, 20)
    days = [today - timedelta(days=29 - index) for index in range(30)]
    basic = [(index * 37 + 11) % 90 + (20 if index % 7 < 5 else 0) for index in range(30)]
    other = [(index * 23 + 5) % 45 for index in range(30)]
    clients = [
        SimpleNamespace(name=name, city=city, tone=tone, status=status, used=used, trend=trend)
        for name, city, tone, status, used, trend in CLIENTS
    ]
    context = {
        "frame": sample_frame(request),
        "clients": clients,
        "points": list(zip(days, basic, strict=True)),
        "days": days,
        "series": [("Acme Plumbing", basic), ("Koala Legal", other), ("Sunrise Cleaning", [value // 2 for value in other])],
        "trend": basic[-14:],
        "form": SampleForm({"email": "not an address"} if "errors" in request.GET else None),
        "now": clock.now(),
        "recently": clock.now() - timedelta(minutes=12),
        "earlier": clock.now() - timedelta(hours=5),
        "yesterday": clock.now() - timedelta(days=1, hours=2),
        "minutes": SimpleNamespace(name="Minute", plural="Minutes", steps=60),
        "plans": [("Starter", 9700, "3"), ("Growth", 19700, "5"), ("Scale 20", 49700, "20")],
    }
    return render(request, "kit/design.html", context)
