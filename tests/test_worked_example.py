"""The story the product was born from: one pool, two clients, 1,000 − 50 − 30 = 920, seen on the agency's pages."""

from uuid import uuid4

from credits import ledger
from subaccounts.models import SubAccount
from subaccounts.tenancy import enter
from tests.cast import PLATFORM, TESTS, Cast, Visitor, host_of
from tests.workspace.conftest import make_chatbot


def use_up_starter_credits(sub_account: SubAccount) -> None:
    wallet = sub_account.wallet("credit")
    ledger.spend(sources=[wallet], amount=wallet.balance, key=str(uuid4()), kind="ai_reply", by=TESTS, sub_account_id=sub_account.public_id)


def send_campaign(sub_account: SubAccount, contacts: int) -> None:
    for number in range(contacts):
        ledger.spend(
            sources=sub_account.credit_sources("credit"), amount=1, key=str(uuid4()), kind="campaign_message", by=TESTS,
            sub_account_id=sub_account.public_id, contact=f"Contact {number + 1}", campaign="Autumn check-up",
        )  # fmt: skip


def ask(sub_account: SubAccount, chatbot_id: object, number: int) -> None:
    """One visitor, at an address of their own, through the widget's own endpoints."""
    browser = Visitor(host_of(sub_account), REMOTE_ADDR=f"198.51.100.{number}")
    begun = browser.get(f"/widget/{chatbot_id}/session/", headers={"host": browser.host}).json()
    answer = browser.post(
        f"/widget/{chatbot_id}/messages/",
        {"id": str(uuid4()), "text": "Do you offer a free consultation?", "page": "https://koala-legal.example/"},
        content_type="application/json",
        headers={"host": browser.host, "X-Visitor": begun["token"], "X-Ticket": begun["ticket"]},
    )
    assert answer.status_code == 200
    assert answer.json()["reply"] is not None


def test_p05_a_campaign_and_thirty_replies_leave_920_of_1000(cast: Cast) -> None:
    acme, koala = cast.acme, cast.koala
    for client in (acme, koala):
        use_up_starter_credits(client)
    with enter(koala):
        chatbot = make_chatbot(koala, "koala-legal", name="Koala assistant")

    send_campaign(acme, contacts=50)
    for number in range(30):
        ask(koala, chatbot.public_id, number + 1)

    assert cast.northlight.pool("credit").balance == 920
    agency = Visitor(PLATFORM, cast.nora)
    assert "920" in agency.get("/credits/").content.decode()
    statement = agency.get(f"/credits/statement/?client={koala.public_id}").content.decode()
    assert statement.count("agency pool") == 30
