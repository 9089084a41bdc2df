from collections.abc import Iterator

import pytest

from subaccounts.models import SubAccount
from subaccounts.tenancy import enter
from tests.cast import TESTS, Cast
from tests.workspace import demo
from workspace import chatbots
from workspace.models import Chatbot, Faq


def make_chatbot(sub_account: SubAccount, slug: str = "acme-plumbing", **fields: object) -> Chatbot:
    """A chatbot with a demo firm's FAQs; the caller is inside the workspace."""
    bot = chatbots.create(sub_account=sub_account, by=TESTS, **{"name": "Acme assistant", "allowed_websites": ["acme.example"], **fields})
    Faq.objects.bulk_create([Faq(chatbot=bot, **row) for row in demo.faqs(slug)])
    return bot


@pytest.fixture
def acme(cast: Cast) -> Iterator[SubAccount]:
    """Acme Plumbing, and the test runs inside its workspace."""
    with enter(cast.acme) as sub_account:
        yield sub_account


@pytest.fixture
def bot(acme: SubAccount) -> Chatbot:
    return make_chatbot(acme)
