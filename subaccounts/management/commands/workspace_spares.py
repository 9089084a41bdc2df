from typing import Any

from django.core.management.base import BaseCommand

from subaccounts import provisioning
from subaccounts.models import SpareWorkspace


class Command(BaseCommand):
    help = "Builds the spare workspaces that are missing and drops schemas that belong to nobody."

    def handle(self, *args: Any, **options: Any) -> None:
        built = provisioning.keep_spares()
        self.stdout.write(f"{built} spare workspaces built, {SpareWorkspace.objects.count()} in stock.")
