import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from credits import audits, checks
from kit.actor import system


class Command(BaseCommand):
    help = (
        "Verify every law of the credit ledger, keep the result, and print what breaks one, row by row. Exits with 1 when something does."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        audit = audits.run(by=system(f"audit_ledger ({_who()})"))
        for line in audit.report:
            self.stdout.write(str(checks.Finding(**line)))
        if audit.findings:
            raise CommandError(f"{audit.findings} findings")
        self.stdout.write(self.style.SUCCESS(f"The books are right: {len(checks.LAWS)} laws hold."))


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return "unknown"
