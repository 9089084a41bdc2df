import getpass
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from agency import staff
from agency.models import User
from agency.models.user import normal_address
from kit.actor import system
from kit.refusal import Refusal


class Command(BaseCommand):
    help = (
        "Make somebody staff. Asks for a password, or leaves it to “Forgot your password?” on the staff's host with --no-password. "
        "Their second factor is set up at the first sign-in."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--first-name", default="")
        parser.add_argument("--last-name", default="")
        parser.add_argument("--group", action="append", default=[], help=f"One of {', '.join(staff.GROUPS)}; may be given again.")
        parser.add_argument("--superuser", action="store_true", help="May do everything.")
        parser.add_argument("--no-password", action="store_true", help="Let the person choose it by mail.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            validate_email(options["email"])
            user = staff.make(
                email=options["email"],
                first_name=options["first_name"],
                last_name=options["last_name"],
                groups=options["group"],
                is_superuser=options["superuser"],
                password=None if options["no_password"] or self._is_known(options["email"]) else self._ask(),
                by=system("make_staff"),
            )
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from error
        except Refusal as refusal:
            raise CommandError(refusal.message) from refusal
        rights = "everything" if user.is_superuser else ", ".join(sorted(options["group"])) or "nothing yet: give a --group"
        self.stdout.write(self.style.SUCCESS(f"{user.email} is staff. May do: {rights}."))

    def _is_known(self, email: str) -> bool:
        return User.objects.known_as(normal_address(email), realm=None) is not None

    def _ask(self) -> str:
        password = getpass.getpass("Password: ")
        validate_password(password)
        if getpass.getpass("Again: ") != password:
            raise CommandError("The two differ. Nothing was changed.")
        return password
