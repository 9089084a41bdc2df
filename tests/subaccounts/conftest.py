from tests.entrance import mails

__all__ = ["mails"]
