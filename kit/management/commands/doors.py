from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from kit.doors import all_views, door_of

HEAD = """# Doors that may succeed without an audit record

Every successful change leaves a record in the audit log, in the transaction of the change itself; a test that runs beside every other
fails where one does not. These are the doors that say why they need none, or not always. Made by `python manage.py doors`; a test
compares.

| host | door | why no record |
| --- | --- | --- |
"""


def listing() -> str:
    """The page docs/doors.md."""
    hosts = {"platform": settings.ROOT_URLCONF, "workspace": settings.WORKSPACE_URLCONF, "staff": settings.STAFF_URLCONF}
    rows: dict[tuple[str, str], list[str]] = {}
    for host, urlconf in hosts.items():
        for route, pattern in all_views(urlconf):
            door = door_of(pattern.callback)
            if door is not None and door.unaudited and not route.startswith("/dev/"):
                hosts_of = rows.setdefault((route, door.unaudited), [])
                if host not in hosts_of:
                    hosts_of.append(host)
    lines = sorted(f"| {', '.join(found)} | `{_plain(route)}` | {reason} |" for (route, reason), found in rows.items())
    return HEAD + "\n".join(lines) + "\n"


def _plain(route: str) -> str:
    return route.replace("|", "\\|").replace("\\Z", "").replace("^", "")


class Command(BaseCommand):
    help = "Prints docs/doors.md: the doors whose success may leave no audit record, each with its reason."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(listing(), ending="")
