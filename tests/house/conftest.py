import pytest

from kit.models import OutboxMessage


@pytest.fixture
def empty_outbox(db: None) -> None:
    """Without the mails that opening the cast has put there."""
    OutboxMessage.objects.all().delete()
