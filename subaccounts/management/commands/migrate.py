from typing import Any

from django.core.management import call_command
from django.core.management.commands import migrate
from django.db import connection

from agency import staff


class Command(migrate.Command):
    help = "Migrates public, makes the staff's groups, then migrates every workspace (migrate_workspaces)."

    def handle(self, *args: Any, **options: Any) -> None:
        connection.set_schema_to_public()
        super().handle(*args, **options)
        if not (options["app_label"] or options["plan"] or options["check_unapplied"] or options["prune"] or options["fake"]):
            staff.make_groups()
            call_command("migrate_workspaces", verbosity=options["verbosity"], stdout=self.stdout, stderr=self.stderr)
