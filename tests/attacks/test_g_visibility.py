"""Threat G16: what a client sees of units. Hidden means hidden in every answer; shown means its own, and never the agency's."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.core import mail
from django.urls import NoReverseMatch, reverse

from agency.models import Notice, NoticeMail, User
from credits import ledger
from credits.models import Entry, Grant, Wallet
from kit import clock, outbox
from kit.doors import all_views
from kit.units import figure
from subaccounts import alert_mails, alerts, assist, hosts, lifecycle
from subaccounts.models import Assist, SubAccount
from subaccounts.tenancy import enter
from tests.attacks.test_j_widget import Chat
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of
from tests.credits.conftest import fresh_key, give
from tests.workspace.conftest import make_chatbot
from workspace.models import Chatbot, Conversation, Faq, FaqImport, Lead

URLS = settings.WORKSPACE_URLCONF
OWN, POOL = 918273, 827364
LINK = re.compile(r"""(?:href|action|hx-get|hx-post|src)="([^"#]*)""")
FORM = {"low_at": "12", "name": "Acme", "text": "Hello", "unavailable_message": "Sorry"}
NOT_FOLLOWED = re.compile(r"^/static/|/sign-out/")
MATRIX = [
    ("manual", "by_mode", False),
    ("manual", "shown", True),
    ("manual", "hidden", False),
    ("reselling", "by_mode", True),
    ("reselling", "shown", True),
    ("reselling", "hidden", False),
]


@pytest.fixture
def acme(cast: Cast) -> SubAccount:
    """Acme with a chatbot that has talked, 918,273 credits of its own and 827,364 in the pool, of which both paid for something."""
    acme, agency = cast.acme, cast.northlight
    give(agency.pool("credit"), POOL - agency.pool("credit").balance, "purchase", memo="For Koala Legal")
    ledger.spend(
        sources=acme.credit_sources("credit"), amount=97, key=fresh_key(), kind="ai_reply", by=TESTS, sub_account_id=acme.public_id
    )
    # Three of its own and two of the pool: one use, of which two lines would tell what was left.
    ledger.spend(
        sources=acme.credit_sources("credit"), amount=5, key=fresh_key(), kind="campaign_message", contact="Pat Split", by=TESTS,
        sub_account_id=acme.public_id,
    )  # fmt: skip
    ledger.allocate(
        pool=agency.pool("credit"), wallet=acme.wallet("credit"), amount=7, key=fresh_key(), by=TESTS, memo="Koala Legal needs less",
        sub_account_id=acme.public_id,
    )  # fmt: skip
    give(acme.wallet("credit"), OWN - 7, "purchase", sub_account_id=acme.public_id)
    ledger.set_threshold(wallet=agency.pool("credit"), low_at=715_241, by=TESTS)
    ledger.set_threshold(wallet=acme.wallet("credit"), low_at=604_132, by=TESTS)
    choose(acme, choice="shown")
    ledger.set_threshold(wallet=acme.wallet("credit"), low_at=930_001, by=TESTS, audience="client")
    alerts.sweep()  # told while it was shown: the notice is there, its mail waits
    choose(acme)
    with enter(acme):
        make_chatbot(acme)
    chat = Chat(acme, chatbot_of(acme)).enter()
    chat.ask("What are your opening hours?")
    chat.post("lead/", {"name": "Pat", "email": "pat@example.org"})
    return acme


def chatbot_of(sub_account: SubAccount) -> Chatbot:
    with enter(sub_account):
        return Chatbot.objects.order_by("id")[0]


def choose(sub_account: SubAccount, mode: str = "manual", choice: str = "by_mode") -> None:
    """As another process would: this one's host cache learns nothing of it."""
    SubAccount.objects.filter(pk=sub_account.pk).update(credit_mode=mode, balance_visibility=choice)


def spellings(amounts: set[int]) -> set[str]:
    """Numbers nobody meets by chance, with and without separators."""
    large = {amount for amount in amounts if amount > 10_000}
    return {text for n in large for text in (str(n), figure(n, "credit"), f"{n:,}".replace(",", " "), f"{n:,}".replace(",", "."))}


def own_numbers(acme: SubAccount) -> set[str]:
    wallets = Wallet.objects.filter(owner_id=acme.public_id)
    return spellings(_numbers(wallets) | {604_132, 930_001})


def pool_numbers(acme: SubAccount) -> set[str]:
    return spellings(_numbers(Wallet.objects.filter(owner_id=acme.agency.public_id)) | {715_241, 604_132}) | {"Koala"}


def _numbers(wallets: Any) -> set[int]:
    """Every balance the wallets ever had, and every part of it."""
    numbers: set[int] = set()
    for wallet in wallets:
        numbers |= {wallet.balance, wallet.available}
        numbers |= set(Entry.objects.filter(from_wallet=wallet).values_list("from_balance", flat=True))
        numbers |= set(Entry.objects.filter(to_wallet=wallet).values_list("to_balance", flat=True))
        for grant in Grant.objects.filter(wallet=wallet):
            numbers |= {grant.amount, grant.remaining}
    return numbers


def objects_of(acme: SubAccount) -> dict[str, list[Any]]:
    """What the arguments of addresses may be, by their names."""
    with enter(acme):
        ids: list[UUID] = []
        for model in (Chatbot, Conversation, Lead):
            ids += model.objects.values_list("public_id", flat=True)
        return {
            "public_id": ids,
            "faq_id": list(Faq.objects.values_list("public_id", flat=True)[:1]),
            "import_id": list(FaqImport.objects.values_list("public_id", flat=True)[:1]) or [uuid4()],
            "unit": ["credit", "basic_minute"],
            "month": [f"{clock.today_in(acme.agency.time_zone):%Y-%m}", "2020-13"],
        }


def addresses(acme: SubAccount) -> Iterator[str]:
    """Every address of the workspace's host, with every argument there is."""
    known = objects_of(acme)
    for route, pattern in all_views(URLS):
        names = list(pattern.pattern.converters)
        if NOT_FOLLOWED.search(f"/{route}") or not pattern.name:
            continue
        choices: list[dict[str, Any]] = [{}]
        for name in names:
            choices = [{**chosen, name: value} for chosen in choices for value in known.get(name, ["x"])]
        for chosen in choices:
            try:
                yield reverse(pattern.name, urlconf=URLS, kwargs=chosen)
            except NoReverseMatch:
                continue


def text_of(response: Any) -> str:
    body = b"".join(response.streaming_content) if response.streaming else response.content
    head = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
    return f"{head}\n{body.decode('utf-8', 'replace')}"


def crawl(acme: SubAccount, user: User) -> dict[str, str]:
    """Every answer this person can get on the host: each address read and posted to, and every link in what comes back."""
    visitor = Visitor(host_of(acme), user, raise_request_exception=False)
    answers: dict[str, str] = {}
    waiting = list(addresses(acme))
    while waiting and len(answers) < 600:
        address = waiting.pop()
        if address in answers or NOT_FOLLOWED.search(address):
            continue
        answers[address] = text_of(visitor.get(address))
        waiting += [link.replace("&amp;", "&") for link in LINK.findall(answers[address]) if link.startswith("/")]
        waiting += [
            f"{address.partition('?')[0]}{link}".replace("&amp;", "&") for link in LINK.findall(answers[address]) if link.startswith("?")
        ]
    for address in addresses(acme):
        poster = Visitor(host_of(acme), user, raise_request_exception=False)
        answers[f"POST {address}"] = text_of(poster.post(address, FORM))
    assert len(answers) > 60
    return answers


def leaks(answers: dict[str, str], numbers: set[str]) -> list[tuple[str, str]]:
    assert numbers
    return [(where, number) for where, answer in answers.items() for number in numbers if number in answer]


class TestHidden:
    @pytest.mark.parametrize("who", ["paul", "tess"])
    def test_g16_no_answer_of_the_whole_host_has_a_balance(self, cast: Cast, acme: SubAccount, who: str) -> None:
        numbers = own_numbers(acme) | pool_numbers(acme)
        assert {str(OWN), "918,273", str(POOL), "827,364"} <= numbers

        answers = crawl(acme, getattr(cast, who))

        assert leaks(answers, numbers) == []
        assert any("Pat Split" in answer for answer in answers.values())  # it does see its usage
        assert not [where for where, answer in answers.items() if re.search(r"[Bb]alance after|[Ll]ow balance|Credits left", answer)]

    def test_g16_a_member_of_the_agency_who_assists_sees_what_the_client_sees(self, cast: Cast, acme: SubAccount) -> None:
        answers = crawl_assisting(cast, acme)
        assert leaks(answers, own_numbers(acme) | pool_numbers(acme)) == []

    def test_g16_a_use_that_both_paid_is_one_line(self, cast: Cast, acme: SubAccount) -> None:
        paul = Visitor(host_of(acme), cast.paul)
        page = paul.get("/usage/uses/", {"contact": "Pat Split"})
        file = text_of(paul.get("/usage/uses.csv", {"contact": "Pat Split"}))
        assert [(line.change, line.balance) for line in page.context["lines"]] == [(-5, None)]
        assert file.count("Pat Split") == 1
        assert "Balance" not in file
        assert "agency" not in file

    @pytest.mark.parametrize(
        "path", ["/credits/", "/credits/statement/", "/credits/statement.csv", "/credits/months/", "/credits/alerts/credit/"]
    )
    def test_g16_the_pages_of_balances_are_not_there(self, cast: Cast, acme: SubAccount, path: str) -> None:
        paul = Visitor(host_of(acme), cast.paul)
        assert paul.get(path).status_code == 404
        assert 'href="/credits/' not in paul.get("/").content.decode()

    def test_g16_an_alert_cannot_be_set_to_find_the_balance_out(self, cast: Cast, acme: SubAccount) -> None:
        assert Visitor(host_of(acme), cast.paul).post("/credits/alerts/credit/", {"low_at": "5"}).status_code == 404
        assert acme.wallet("credit").thresholds.get(audience="client").at == 930_001

    def test_g16_no_mail_and_no_notice_has_a_balance(self, cast: Cast, acme: SubAccount) -> None:
        assert Notice.objects.filter(audience=Notice.CLIENT, title__contains="918,2").exists()
        ledger.set_threshold(wallet=acme.wallet("credit"), low_at=918_272, by=TESTS, audience="client")
        told = mails_to_clients(acme)
        assert told
        assert leaks(told, own_numbers(acme) | pool_numbers(acme)) == []


class TestShown:
    def test_g16_a_mail_has_the_own_balance_and_never_the_pools(self, cast: Cast, acme: SubAccount) -> None:
        choose(acme, choice="shown")
        told = mails_to_clients(acme)
        assert "918,273" in "".join(told.values())
        assert leaks(told, pool_numbers(acme) - own_numbers(acme)) == []

    @pytest.mark.parametrize("who", ["paul", "tess"])
    def test_g16_the_own_balance_stands_there_and_the_pool_never_does(self, cast: Cast, acme: SubAccount, who: str) -> None:
        choose(acme, choice="shown")
        own = figure(acme.wallet("credit").balance, "credit")

        answers = crawl(acme, getattr(cast, who))

        assert own in answers["/credits/"]
        assert own in answers["/credits/statement/"]
        assert leaks(answers, pool_numbers(acme) - own_numbers(acme)) == []
        # Neither does what its agency noted or wants to hear of.
        assert leaks(answers, spellings({604_132})) == []

    def test_g16_what_the_pool_paid_has_no_balance(self, cast: Cast, acme: SubAccount) -> None:
        choose(acme, choice="shown")
        paul = Visitor(host_of(acme), cast.paul)
        page = paul.get("/credits/statement/", {"contact": "Pat Split"})
        assert [(line.change, line.balance) for line in page.context["lines"]] == [(-3, 0), (-2, None)]
        assert "Paid by your agency" in page.content.decode()

    def test_g16_one_who_assists_sees_the_balance_too_and_no_pool(self, cast: Cast, acme: SubAccount) -> None:
        choose(acme, choice="shown")
        answers = crawl_assisting(cast, acme)
        assert figure(acme.wallet("credit").balance, "credit") in answers["/credits/"]
        assert leaks(answers, pool_numbers(acme) - own_numbers(acme)) == []


def mails_to_clients(acme: SubAccount) -> dict[str, str]:
    """Every mail that ever went to a person of the workspace, what waits included."""
    alerts.sweep()
    NoticeMail.objects.update(due_at=clock.now())
    alert_mails.send_due()
    outbox.deliver_due()
    clients = set(User.objects.filter(accesses__sub_account=acme, realm=acme.agency).values_list("email", flat=True))
    return {f"{n} {message.subject}": readable(message) for n, message in enumerate(mail.outbox) if clients & set(message.to)}


def readable(message: Any) -> str:
    bodies = [str(message.body), *(str(content) for content, _ in getattr(message, "alternatives", []))]
    return "\n".join([message.subject, *(f"{name}: {value}" for name, value in message.extra_headers.items()), *bodies])


def crawl_assisting(cast: Cast, acme: SubAccount) -> dict[str, str]:
    """What Nora is answered while she works in the workspace."""
    visitor = Visitor(host_of(acme), cast.nora)
    begun = assist.begin(sub_account=acme, user=cast.nora)
    session = visitor.session
    session["assist"] = str(begun.public_id)
    session.save()
    assert Assist.objects.get().is_open
    return {address: text_of(visitor.get(address)) for address in addresses(acme)}


@pytest.mark.parametrize(("mode", "choice", "is_shown"), MATRIX)
def test_g16_mode_and_choice(cast: Cast, acme: SubAccount, mode: str, choice: str, is_shown: bool) -> None:
    choose(acme, mode, choice)
    paul = Visitor(host_of(acme), cast.paul)
    assert paul.get("/credits/").status_code == (200 if is_shown else 404)
    assert ('href="/credits/"' in paul.get("/").content.decode()) is is_shown
    assert paul.get("/usage/").status_code == 200


def test_g16_the_next_request_obeys_although_the_host_cache_is_old(cast: Cast, acme: SubAccount) -> None:
    paul = Visitor(host_of(acme), cast.paul)
    seen = []
    for choice in ("shown", "hidden", "shown", "by_mode"):
        choose(acme, choice=choice)
        seen.append((paul.get("/credits/").status_code, 'href="/credits/"' in paul.get("/usage/").content.decode()))
    stale = hosts.site_for(host_of(acme))
    assert stale is not None
    assert stale.sub_account is not None
    assert stale.sub_account.balance_visibility == "by_mode"
    assert seen == [(200, True), (404, False), (200, True), (404, False)]


@pytest.mark.parametrize("choice", ["shown", "hidden"])
def test_g16_a_visitor_of_the_widget_is_told_nothing_of_credits(cast: Cast, acme: SubAccount, choice: str) -> None:
    choose(acme, choice=choice)
    numbers = own_numbers(acme) | pool_numbers(acme)
    chat = Chat(acme, chatbot_of(acme))
    answers = {name: text_of(chat.client.get(path)) for name, path in (("frame", chat.base), ("script", "/widget.js"))}
    chat.enter()
    answers["session"] = text_of(chat.client.get(f"{chat.base}session/", headers=chat.headers))
    answers["answer"] = text_of(chat.ask())
    answers["conversation"] = text_of(chat.client.get(f"{chat.base}conversation/", headers=chat.headers))
    answers["lead"] = text_of(chat.post("lead/", {"name": "Pat", "email": "pat@example.org"}))
    SubAccount.objects.filter(pk=acme.pk).update(pool_fallback="off")
    hosts.forget()
    left = acme.wallet("credit").available
    ledger.spend(sources=[acme.wallet("credit")], amount=left, key=fresh_key(), kind="call", by=TESTS, sub_account_id=acme.public_id)
    answers["nothing left"] = text_of(chat.ask("Who pays for this?"))

    assert leaks(answers, numbers) == []
    assert not [name for name, answer in answers.items() if re.search(r"\bcredits?\b|\bbalance\b|\bpool\b", answer)]


class TestSuspended:
    def test_a_client_that_only_reads_still_sees_its_history(self, cast: Cast, acme: SubAccount) -> None:
        choose(acme, choice="shown")
        lifecycle.suspend(sub_account=acme, by=TESTS)
        paul = Visitor(host_of(acme), cast.paul)
        for path in ("/usage/", "/usage/uses/", "/credits/", "/credits/statement/", "/credits/statement.csv"):
            assert paul.get(path).status_code == 200, path
        assert paul.post("/credits/alerts/credit/", {"low_at": "5"}).status_code == 403

    def test_a_locked_out_one_sees_nothing(self, cast: Cast, acme: SubAccount) -> None:
        choose(acme, choice="shown")
        lifecycle.suspend(sub_account=acme, policy="lockout", by=TESTS)
        answers = crawl(acme, cast.paul)
        assert leaks(answers, own_numbers(acme) | pool_numbers(acme)) == []


def test_the_agency_sees_what_its_client_does_not(cast: Cast, acme: SubAccount) -> None:
    """Or the crawl above would find nothing for want of anything to find."""
    page = Visitor(PLATFORM, cast.nora).get(f"/sub-accounts/{acme.public_id}/").content.decode()
    assert figure(acme.wallet("credit").balance, "credit") in page
    assert figure(acme.agency.pool("credit").balance, "credit") in page
