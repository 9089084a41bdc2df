from tests.credits.conftest import books, committed_books
from tests.entrance import mails

__all__ = ["books", "committed_books", "mails"]
