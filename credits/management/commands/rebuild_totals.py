from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from credits import totals
from credits.models import Calendar


class Command(BaseCommand):
    help = "Make the totals of one agency, or of all, anew from the entries. Pages show the old ones until it is done."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--agency", type=UUID, help="the public id of one agency")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = Calendar.objects.order_by("agency_id", "-id").distinct("agency_id")
        if options["agency"]:
            wanted = wanted.filter(agency_id=options["agency"])
        calendars = list(wanted)
        if options["agency"] and not calendars:
            raise CommandError("This agency has no totals. The worker makes the first ones within a minute.")
        for calendar in calendars:
            folded = totals.rebuild(calendar.agency_id, calendar.time_zone)
            self.stdout.write(f"{calendar.agency_id}: {folded:,} lines")
