from typing import Any

from django.core.management.base import BaseCommand, CommandError

from kit import invariants


class Command(BaseCommand):
    help = "Check what must be true of the data at any moment. Prints each row that breaks something; exits with 1 when one does."

    def handle(self, *args: Any, **options: Any) -> None:
        results = invariants.check_all()
        for name, rows in results.items():
            self.stdout.write(f"{'BROKEN' if rows else 'ok    '}  {name}")
            for row in rows:
                self.stdout.write(f"          {row}")
        broken = sum(bool(rows) for rows in results.values())
        if broken:
            raise CommandError(f"{broken} of {len(results)} invariants are broken", returncode=1)
