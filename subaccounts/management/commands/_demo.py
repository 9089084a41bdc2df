"""Thirty days that never were, written by the deeds of every day with the clock moved (kit.clock.at).

One transaction: the demo is there whole or not at all. Everything random comes from one fixed seed, so that tests,
screenshots and the README can tell the same story.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction

from agency import api_keys, audit, notices, staff
from agency.access import Role
from agency.models import Agency, Membership, Notice, Plan, SignIn, User
from billing import deliveries, plans, webhooks
from billing.models import Delivery, Endpoint
from credits import ledger
from credits.models import Threshold, Unit, Wallet
from kit import clock
from kit.actor import Actor, system
from kit.models import OutboxMessage
from subaccounts import (
    alert_mails,
    alerts,
    allocating,
    assist,
    calls,
    editing,
    invitations,
    lifecycle,
    moving,
    opening,
    pool_policy,
    pricing,
    reach,
    team,
    thresholds,
)
from subaccounts.management.commands import _demo_cast as cast
from subaccounts.models import Access, SubAccount
from subaccounts.tenancy import enter
from workspace import chatbots, conversations, imports, leads, replies, visitors
from workspace.models import Chatbot, Contact, Conversation, Faq, Lead

DAYS = 30
MINUTE = "premium_minute"
WEBHOOK = "https://example.com/webhooks"
REFUSED = deliveries.Outcome(status=503, milliseconds=212, error="answered 503")
TAKEN = deliveries.Outcome(status=204, milliseconds=84)
FAQS = Path(settings.BASE_DIR) / "demo" / "faqs"
STORY = system("Demo data")
DICE = random.Random(2026)
KOALAS_TOP_UP = UUID("8c5d1f60-3b0f-4c7e-9a55-2f0e6f1d7a43")
OPENINGS = ("", "", "", "Hi! ", "Hello, ", "Good morning. ", "Quick question: ")
DESK = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile Safari/604.1"
PHONE_DAY, STRANGER_DAY, WEEKEND = 9, 4, 5
SMALL_TALK = ("Thanks!", "Great, thank you.", "Perfect, thanks a lot!")


@dataclass(frozen=True)
class Place:
    """A client that has opened: its rows and what visitors may ask there."""

    client: cast.Client
    sub_account: SubAccount
    chatbot: Chatbot
    questions: list[str]
    regulars: list[Contact] = field(default_factory=list)


# Something that is done at a moment of the story.
Deed = tuple[datetime, Callable[[], object]]


@dataclass(frozen=True)
class Visit:
    at: datetime
    place: Place


@transaction.atomic
def write(*, until: datetime) -> int:
    """Everything up to `until`; how many replies were given."""
    begin = until - timedelta(days=DAYS + 2)
    with clock.at(begin):
        ledger.open_months(0)
        staff.make(
            email=cast.SARA.email,
            first_name=cast.SARA.first_name,
            last_name=cast.SARA.last_name,
            password=cast.PASSWORD,
            is_superuser=True,
            by=STORY,
        )
        northlight, harbour = _agency(cast.NORTHLIGHT), _agency(cast.HARBOUR)
        _team(northlight)
    places = [
        *_places(northlight, cast.NORTHLIGHT, begin + timedelta(hours=3)),
        *_places(harbour, cast.HARBOUR, begin + timedelta(hours=5)),
    ]
    _settle_in(northlight, places, begin + timedelta(hours=8))
    visits = sorted((visit for place in places for visit in _visits(place, until)), key=lambda visit: visit.at)
    deeds = _balances(northlight, places[1].sub_account, until)
    given = 0
    for visit in (visit for visit in visits if not _is_paused(visit, until)):
        deeds = _done(deeds, visit.at)
        given += _talk(visit)
    _done(deeds, until)
    _latest(northlight, places, until)
    return given


def _done(deeds: list[Deed], by: datetime) -> list[Deed]:
    """Do what is due by then, in its order; what is left to do."""
    for at, deed in deeds:
        if at <= by:
            with clock.at(at):
                deed()
    return [(at, deed) for at, deed in deeds if at > by]


# --- people and places ------------------------------------------------------------------------------------------------------


def _person(person: cast.Person, realm: Agency | None = None) -> User:
    user = User.objects.create_user(
        email=person.email, password=cast.PASSWORD, realm=realm, first_name=person.first_name, last_name=person.last_name
    )
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def _agency(wanted: cast.Agency) -> Agency:
    owner = _person(wanted.owner)
    agency = opening.open_agency(
        owner=owner, name=wanted.name, slug=wanted.slug, time_zone=wanted.time_zone, currency=wanted.currency, by=_acting(owner)
    )
    return plans.choose(agency, Plan.objects.get(code=wanted.plan), by=_acting(owner))


def _team(agency: Agency) -> None:
    for person, role in ((cast.ADAM, "admin"), (cast.MIA, "member"), (cast.JON, "member")):
        Membership.objects.create(agency=agency, user=_person(person), role=role)
        audit.record("member.joined", by=STORY, agency=agency, subject=person.email, after={"role": role})
    ledger.grant(
        to=agency.pool("credit"),
        amount=2_500,
        source="purchase",
        key="demo:northlight:pack",
        memo="Credit pack",
        by=_acting(_owner(agency)),
    )


def _owner(agency: Agency) -> User:
    return agency.memberships.get(role="owner").user


def _acting(user: User, *, on_behalf_of: str = "") -> Actor:
    """Each at the office of those whose mail address they have."""
    return user.as_actor(on_behalf_of=on_behalf_of, address=cast.OFFICES[user.email.partition("@")[2]])


def _places(agency: Agency, wanted: cast.Agency, at: datetime) -> list[Place]:
    """Each client an hour after the one before."""
    made = []
    for number, client in enumerate(wanted.clients):
        with clock.at(at + timedelta(hours=number)):
            made.append(_place(agency, client))
    return made


def _place(agency: Agency, client: cast.Client) -> Place:
    opened = opening.open_sub_account(
        agency=agency,
        first_name=client.admin.first_name,
        last_name=client.admin.last_name,
        email=client.admin.email,
        slug=client.slug,
        business_name=client.name,
        city=client.city,
        state=client.state,
        postal_code=client.postal_code,
        description=client.description,
        by=_acting(_owner(agency)),
    )
    admin = User.objects.in_realm(agency).get(email=client.admin.email)
    _has_been_here(admin)
    with enter(opened.sub_account):
        chatbot = _chatbot(opened.sub_account, client, _acting(admin))
        questions = list(Faq.objects.filter(chatbot=chatbot).order_by("id").values_list("question", flat=True))
    return Place(client, opened.sub_account, chatbot, questions)


def _has_been_here(user: User) -> None:
    """They chose the demo's password at their first sign-in; the mail with the first one would only mislead."""
    OutboxMessage.objects.filter(topic="mail", key=f"credentials:{user.public_id}").delete()
    user.set_password(cast.PASSWORD)
    user.must_change_password, user.initial_password_expires_at = False, None
    user.save()


def _chatbot(sub_account: SubAccount, client: cast.Client, by: Actor) -> Chatbot:
    chatbot = chatbots.create(
        sub_account=sub_account, by=by, name=client.chatbot, greeting=client.greeting, accent=client.accent, allowed_websites=[cast.WEBSITE]
    )
    for question, answer in client.faqs:
        chatbots.save_faq(sub_account=sub_account, faq=Faq(chatbot=chatbot), question=question, answer=answer, by=by)
    if not client.faqs:
        _import(sub_account, chatbot, FAQS / f"{client.slug}.csv", by)
    return chatbot


def _import(sub_account: SubAccount, chatbot: Chatbot, file: Path, by: Actor) -> None:
    checked = imports.dry_run(sub_account=sub_account, chatbot=chatbot, file_name=file.name, content=file.read_bytes(), by=by)
    imports.confirm(sub_account=sub_account, faq_import=checked, by=by)
    while message := OutboxMessage.objects.filter(topic=imports.TOPIC, delivered_at=None).order_by("id").first():
        imports.continue_import(message)
        message.delivered_at, message.payload = clock.now(), {}
        message.save(update_fields=["delivered_at", "payload"])


def _settle_in(agency: Agency, places: list[Place], at: datetime) -> None:
    """Who else goes where: a client's second person, a consultant who looks at all clients, and what the Members were given."""
    acme, koala, sunrise = (place.sub_account for place in places[:3])
    nora = _acting(_owner(agency))
    with clock.at(at):
        if cast.ACME.member:
            _let_in(cast.ACME.member, agency, Role.SUB_ACCOUNT_MEMBER, nora, sub_accounts=[acme])
        leah = _let_in(cast.LEAH, agency, Role.SUB_ACCOUNT_ADMIN, nora, sub_accounts=[koala])
        _let_in(cast.IRIS, agency, Role.SUB_ACCOUNT_MEMBER, nora, to_all=True)
        team_people = User.objects.in_realm(None)
        reach.grant(user=team_people.get(email=cast.MIA.email), agency=agency, role=Access.GRANTED, by=nora, sub_accounts=[acme])
        reach.grant(user=team_people.get(email=cast.JON.email), agency=agency, role=Access.GRANTED, by=nora, sub_accounts=[koala, sunrise])
    with clock.at(at + timedelta(days=1)):
        team.change_role(user=leah, agency=agency, role=Role.SUB_ACCOUNT_MEMBER, by=nora)


def _let_in(person: cast.Person, agency: Agency, role: Role, by: Actor, **where: Any) -> User:
    user = _person(person, realm=agency)
    reach.grant(user=user, agency=agency, role=role, by=by, **where)
    return user


# --- thirty days of visitors ------------------------------------------------------------------------------------------------


def _visits(place: Place, until: datetime) -> Iterator[Visit]:
    """More from week to week, fewer at weekends, in waking hours of the agency."""
    zone = ZoneInfo(place.sub_account.agency.time_zone)
    today = until.astimezone(zone).date()
    for number in range(DAYS):
        day = today - timedelta(days=DAYS - 1 - number)
        expected = place.client.visits * (0.7 + 0.6 * number / DAYS) * (0.45 if day.weekday() >= 5 else 1)
        for _ in range(max(0, round(DICE.gauss(expected, expected**0.5 / 1.5)))):
            at = datetime.combine(day, time(8), tzinfo=zone) + timedelta(seconds=DICE.randrange(13 * 3600))
            if at < until - timedelta(minutes=20):
                yield Visit(at, place)


def _is_paused(visit: Visit, until: datetime) -> bool:
    """Sunrise Cleaning was suspended for two days over an invoice."""
    return visit.place.client is cast.SUNRISE and timedelta(days=10) < until - visit.at < timedelta(days=12)


def _talk(visit: Visit) -> int:
    """One conversation; how many replies it got."""
    place, moment = visit.place, visit.at
    with enter(place.sub_account):
        with clock.at(moment):
            contact = _contact(place)
        asked = [DICE.choice(OPENINGS) + question for question in DICE.sample(place.questions, DICE.choice((1, 1, 2, 2, 3)))]
        if DICE.random() < 0.16:
            asked.append(DICE.choice(place.client.unknown))
        elif DICE.random() < 0.3:
            asked.append(DICE.choice(SMALL_TALK))
        wants_contact = False
        for text in asked:
            moment += timedelta(seconds=DICE.randrange(15, 90))
            with clock.at(moment):
                given = replies.reply(
                    sub_account=place.sub_account,
                    chatbot=place.chatbot,
                    contact=contact,
                    message_id=UUID(int=DICE.getrandbits(128)),
                    text=text,
                    page_url=place.client.website,
                )
            wants_contact = wants_contact or given.wants_contact
        if wants_contact and DICE.random() < 0.75:
            with clock.at(moment + timedelta(seconds=40)):
                name = DICE.choice(cast.VISITORS)
                email = f"{name.split()[0].lower()}.{DICE.randrange(100, 999)}@mail.example"
                leads.leave(sub_account=place.sub_account, chatbot=place.chatbot, contact=contact, name=name, email=email)
                place.regulars.append(Contact.objects.get(pk=contact.pk))
    return len(asked)


def _contact(place: Place) -> Contact:
    """Somebody new, or one of those who left their name and come back."""
    if place.regulars and DICE.random() < 0.35:
        return DICE.choice(place.regulars)
    return visitors.meet(place.sub_account, visitors.hashed(str(DICE.random())))


# --- what the people did ----------------------------------------------------------------------------------------------------


def _sign_ins(user: User, host: str, until: datetime) -> None:
    """What a person finds in their history: most days a sign-in, once from a phone, once somebody who did not know the password."""
    for days in range(DAYS, 0, -1):
        with clock.at(until - timedelta(days=days, minutes=37 * days % 90)):
            is_phone = days == PHONE_DAY
            if days == STRANGER_DAY:
                SignIn.objects.create(user=user, outcome=SignIn.FAILED, method="Password", host=host, address="198.51.100.61", device=PHONE)
            if clock.now().weekday() < WEEKEND or is_phone:
                SignIn.objects.create(
                    user=user,
                    outcome=SignIn.SUCCEEDED,
                    method="Password",
                    host=host,
                    address="203.0.113.40" if is_phone else cast.OFFICES["northlight.example"],
                    device=PHONE if is_phone else DESK,
                    is_new_device=is_phone,
                )


def _latest(agency: Agency, places: list[Place], until: datetime) -> None:
    """A pause that was lifted, an assist, answers by a person, leads dealt with, and a trial that staff extended."""
    nora, adam = _owner(agency), User.objects.in_realm(None).get(email=cast.ADAM.email)
    sunrise = places[2].sub_account
    with clock.at(until - timedelta(days=12)):
        lifecycle.suspend(sub_account=sunrise, reason="overdue_payment", note="Invoice 1042 is open. Please call Nora.", by=_acting(nora))
    with clock.at(until - timedelta(days=10)):
        lifecycle.restore(sub_account=sunrise, by=_acting(nora))
    _assist(
        adam,
        places[0],
        until - timedelta(days=4),
        "Greeting for the winter, as agreed by phone",
        greeting="Burst pipe? Boiler out? I can help.",
    )
    _assist(nora, places[2], until - timedelta(days=2), "Looked into why a visitor got no answer")
    _move_minutes(agency, places, until - timedelta(days=6))
    _sign_ins(nora, settings.BASE_DOMAIN, until)
    for place in places[:2]:
        _work_on_inbox(place, until - timedelta(hours=1))
    _alert(agency, places, until - timedelta(hours=26))
    _limit(agency, places, until - timedelta(hours=2))
    _invite(agency, places, until - timedelta(days=1))
    _keys(agency, places[0].sub_account, until - timedelta(days=9))
    _webhook(agency, until - timedelta(hours=3))
    _call(agency, places, until)
    for hours, user in enumerate(User.objects.order_by("id"), 2):
        User.objects.filter(pk=user.pk).update(last_login=until - timedelta(hours=5 * hours))
    Agency.objects.filter(pk=agency.pk).update(trial_ends_at=until + timedelta(days=settings.TRIAL_DAYS))


def _assist(user: User, place: Place, at: datetime, reason: str, *, greeting: str = "") -> None:
    """A visit of fourteen minutes in a client's workspace, with a new greeting for its chatbot where there is one."""
    by = _acting(user, on_behalf_of=place.sub_account.name)
    with clock.at(at):
        visit = assist.begin(user=user, sub_account=place.sub_account, reason=reason, address=by.address)
    if greeting:
        with clock.at(at + timedelta(minutes=6)), enter(place.sub_account):
            chatbots.change(sub_account=place.sub_account, chatbot=place.chatbot, greeting=greeting, by=by)
    with clock.at(at + timedelta(minutes=14)):
        assist.end(assist=visit, by=by)


def _invite(agency: Agency, places: list[Place], at: datetime) -> None:
    """A colleague and a fourth client have a link in their mail, and have not followed it yet."""
    nora = _owner(agency)
    about: dict[str, Any] = {"agency": agency, "inviter": nora, "by": _acting(nora)}
    with clock.at(at):
        invitations.invite(email=cast.OMAR, role="member", sub_accounts=[places[1].sub_account], **about)
        invitations.invite_sub_account(
            email=cast.IDA.email,
            business_name="Fjord Bakery",
            slug="fjord-bakery",
            first_name=cast.IDA.first_name,
            last_name=cast.IDA.last_name,
            **about,
        )


def _webhook(agency: Agency, at: datetime) -> None:
    """An endpoint with two tests in its log, the first refused once; switched off, so that the demo sends nothing to anybody."""
    nora = _owner(agency)
    with clock.at(at):
        endpoint = Endpoint.objects.create(agency=agency, url=WEBHOOK, description="Our CRM", created_by=nora)  # asks no name server
        webhooks.rotate(endpoint=endpoint, by=_acting(nora))
    _tested(endpoint, at + timedelta(minutes=1), REFUSED, TAKEN)
    _tested(endpoint, at + timedelta(minutes=20), TAKEN)
    with clock.at(at + timedelta(minutes=40)):
        webhooks.switch_off(endpoint=endpoint, by=_acting(nora))


def _tested(endpoint: Endpoint, at: datetime, *outcomes: deliveries.Outcome) -> None:
    """A test by its owner, and what its receiver answered to each try."""
    with clock.at(at):
        webhooks.test(endpoint=endpoint, by=_acting(_owner(endpoint.agency)))
    delivery = Delivery.objects.filter(endpoint=endpoint).latest("id")
    for tries, outcome in enumerate(outcomes, 1):
        Delivery.objects.filter(pk=delivery.pk).update(tries=tries)
        with clock.at(at + timedelta(seconds=5 * tries)):
            deliveries.settle(delivery, outcome)


def _keys(agency: Agency, acme: SubAccount, at: datetime) -> None:
    """A key of the agency and one of a client. Nobody was shown their secrets, so they open nothing."""
    nora, paul = _owner(agency), User.objects.in_realm(agency).get(email=cast.ACME.admin.email)
    with clock.at(at):
        scopes = ("sub_accounts:read", "credits:read", "usage:read")
        key = api_keys.make(agency=agency, name="Monthly report", scopes=scopes, user=nora, by=_acting(nora)).row
        api_keys.make(agency=agency, sub_account_id=acme.public_id, name="Website", scopes=("usage:read",), user=paul, by=_acting(paul))
    with clock.at(at + timedelta(days=8)):
        api_keys.note_use(key, "203.0.113.24")


def _call(agency: Agency, places: list[Place], until: datetime) -> None:
    """Five days of calls that the agency's telephone system meters with a key; nobody ended one of them."""
    scopes = ("calls:write", "usage:read")
    with clock.at(until - timedelta(days=6)):
        key = api_keys.make(agency=agency, name="Telephone system", scopes=scopes, user=_owner(agency), by=_acting(_owner(agency))).row
    phone = api_keys.as_actor(key, address="203.0.113.80")
    for number, (hours, client, seconds) in enumerate(cast.CALLS, 1042):
        begins = until - timedelta(hours=hours)
        with clock.at(begins):
            call = calls.start(
                sub_account=places[client].sub_account,
                tier="premium",
                expected_seconds=600,
                contact=cast.VISITORS[number % len(cast.VISITORS)],
                reference=f"call-{number}",
                key=f"demo:{number}",
                by=phone,
            )
        with clock.at(begins + timedelta(seconds=seconds or 3600)):
            if seconds:
                calls.end(call=call, seconds=seconds, by=phone)
            else:
                calls.sweep()


def _limit(agency: Agency, places: list[Place], at: datetime) -> None:
    """One client is watched and has nearly used its part of the pool, another has to stop at its limit."""
    nora = _owner(agency)
    acme, koala = (place.sub_account for place in places[:2])
    with clock.at(at):
        used = next(use.used for use in pool_policy.of(acme).uses if use.unit.code == "credit")
        for sub_account, amount, is_hard in ((acme, used + max(used // 12, 5), False), (koala, 100, True)):
            pool_policy.choose(sub_account=sub_account, fallback="capped", is_hard=is_hard, amounts={"credit": amount}, by=_acting(nora))


def _alert(agency: Agency, places: list[Place], at: datetime) -> None:
    """Alerts for two clients, one of them told and read a day ago and the other just now."""
    acme, koala = (place.sub_account for place in places[:2])
    nora = _owner(agency)
    for sub_account, low_at, moment in ((acme, 25, at), (koala, 150, at + timedelta(hours=25))):
        with clock.at(moment):
            thresholds.choose(sub_account=sub_account, audience=Threshold.AGENCY, wishes={"credit": low_at}, by=_acting(nora))
            alerts.sweep()
            alert_mails.send_due()
        if sub_account == acme:
            notices.read(Notice.objects.filter(agency=agency), by=nora)


def _move_minutes(agency: Agency, places: list[Place], at: datetime) -> None:
    """Koala Legal pays a quarter more for a premium minute than Acme Plumbing does, who let it have 40 of theirs."""
    nora = _acting(_owner(agency))
    acme, koala = (moving.Account(agency, place.sub_account) for place in places[:2])
    with clock.at(at):
        ledger.grant(
            to=agency.pool(MINUTE), amount=500 * 60, source="purchase", key="demo:northlight:minutes", memo="Premium minutes", by=nora
        )
        pricing.save(agency=agency, markups={"credit": Decimal(20)}, steps={}, by=nora)
        pricing.save(agency=agency, sub_account=koala.sub_account, markups={MINUTE: Decimal(25)}, steps={}, by=nora)
    with clock.at(at + timedelta(minutes=3)):
        unit = Unit.objects.get(code=MINUTE)
        allocating.move(
            act=allocating.TOP_UP,
            sub_account=places[0].sub_account,
            unit=unit,
            amount=140 * 60,
            key=UUID(int=DICE.getrandbits(128)),
            by=nora,
        )
    with clock.at(at + timedelta(hours=2)):
        reviewed = moving.read(moving.planned(acme, koala, {MINUTE: 40 * 60}).signed())
        assert reviewed is not None
        moving.move(source=acme, to=koala, reviewed=reviewed, by=nora)


def _balances(agency: Agency, koala: SubAccount, until: datetime) -> list[Deed]:
    """Koala Legal sees its own balance, part of which expires soon; a present to the agency was not used in time."""
    nora = _acting(_owner(agency))
    kira = _acting(User.objects.in_realm(agency).get(email=cast.KOALA.admin.email))

    def show() -> None:
        editing.edit(sub_account=koala, balance_visibility=SubAccount.SHOWN, by=nora)
        credit = Unit.objects.get(code="credit")
        allocating.move(act=allocating.TOP_UP, sub_account=koala, unit=credit, amount=100, key=KOALAS_TOP_UP, by=nora)
        _present(agency.pool("credit"), 150, expires_at=until - timedelta(days=2))
        _present(koala.wallet("credit"), 40, expires_at=until + timedelta(days=12))

    def warn() -> None:
        thresholds.choose(sub_account=koala, audience=Threshold.CLIENT, wishes={"credit": 50}, by=kira)

    def look() -> None:
        alerts.sweep()
        alert_mails.send_due()

    deeds: list[Deed] = [
        *((until - timedelta(days=day), look) for day in range(2, DAYS)),
        (until - timedelta(days=4), show),
        (until - timedelta(days=3), warn),
        (until - timedelta(days=1), ledger.expire_due),
    ]
    return sorted(deeds, key=lambda deed: deed[0])


def _present(wallet: Wallet, amount: int, *, expires_at: datetime) -> None:
    key = f"demo:present:{wallet.owner_id}"
    ledger.grant(
        to=wallet, amount=amount, source="promotion", key=key, expires_at=expires_at, transferable=False, memo="Autumn present", by=STORY
    )


def _work_on_inbox(place: Place, at: datetime) -> None:
    by = _acting(User.objects.get(accesses__sub_account=place.sub_account, accesses__role="sub_account_admin"))
    with enter(place.sub_account), clock.at(at):
        for lead in Lead.objects.order_by("id")[: Lead.objects.count() // 2]:
            leads.handle(lead=lead, by=by, sub_account=place.sub_account)
        waiting = Conversation.objects.filter(unknown_count__gt=0).order_by("-id").first()
        if waiting is not None:
            conversations.say(
                conversation=waiting,
                text="Good question. I have asked a colleague and will write to you today.",
                by=by,
                sub_account=place.sub_account,
            )
