"""manage.py seed_demo: two agencies, their people and clients, and thirty days of history, all through the real deeds."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from agency.models import Agency
from kit import clock
from subaccounts.addresses import host_name, platform_url, staff_url
from subaccounts.management.commands import _demo, _demo_cast


class Command(BaseCommand):
    help = "Write the demo data. Does nothing when it is there already."

    def handle(self, *args: Any, **options: Any) -> None:
        if Agency.objects.filter(slug=_demo_cast.NORTHLIGHT.slug).exists():
            self.stdout.write("The demo data is there already.")
            return
        replies = _demo.write(until=clock.now())
        self.stdout.write(f"Wrote two agencies, four clients and {replies} replies of the last {_demo.DAYS} days.")
        self.stdout.write(f"  Agency  {platform_url()}  {_demo_cast.NORTHLIGHT.owner.email}  {_demo_cast.PASSWORD}")
        self.stdout.write(f"  Staff   {staff_url()}  {_demo_cast.SARA.email}  {_demo_cast.PASSWORD}")
        port = settings.BASE_DOMAIN.partition(":")[2]
        for client in _demo_cast.NORTHLIGHT.clients:
            address = f"{settings.SCHEME}://{host_name(client.slug)}{':' + port if port else ''}/"
            self.stdout.write(f"  Client  {address}  {client.admin.email}  {_demo_cast.PASSWORD}")
