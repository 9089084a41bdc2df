from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from subaccounts import fleet


class Command(BaseCommand):
    help = "Brings every workspace to this code's migrations; names those that failed and exits with 1."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="Only say whether a workspace is behind; exit 1 if one is.")
        parser.add_argument(
            "--deep", action="store_true", help="Compare the catalogue of every workspace with the template's; exit 1 if one differs."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        connection.set_schema_to_public()
        if options["check"] or options["deep"]:
            self._look(behind=fleet.stale(), different=fleet.different() if options["deep"] else [])
            return
        failures = fleet.migrate(on_step=lambda schema: self._say(f"  {schema}", options))
        for failure in failures:
            self.stderr.write(f"{failure.schema_name}: {failure.reason}")
        if failures:
            raise CommandError(f"{len(failures)} workspaces were not migrated (named above); the others were. Run it again to finish.")
        self._say("Every workspace is at this code's migrations.", options)

    def _look(self, *, behind: list[str], different: list[str]) -> None:
        for schema in sorted({*behind, *different}):
            self.stderr.write(schema)
        if behind or different:
            raise CommandError(f"{len(behind)} workspaces are behind this code's migrations, {len(different)} differ from its template.")

    def _say(self, line: str, options: dict[str, Any]) -> None:
        if options["verbosity"] > 0:
            self.stdout.write(line)
