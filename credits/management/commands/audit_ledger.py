from typing import Any

from django.core.management.base import BaseCommand, CommandError

from credits import checks


class Command(BaseCommand):
    help = "Verify every law of the credit ledger and print what breaks one, row by row. Exits with 1 when something does."

    def handle(self, *args: Any, **options: Any) -> None:
        findings = checks.audit()
        for finding in findings:
            self.stdout.write(str(finding))
        if findings:
            raise CommandError(f"{len(findings)} findings")
        self.stdout.write(self.style.SUCCESS(f"The books are right: {len(checks.LAWS)} laws hold."))
