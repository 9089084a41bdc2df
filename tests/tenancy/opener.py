"""Opens sub-accounts until somebody kills it: `python -m tests.tenancy.opener AGENCY_SLUG`."""

import sys
from itertools import count
from uuid import uuid4

import django

django.setup()

from agency.models import Agency  # noqa: E402
from kit.actor import system  # noqa: E402
from subaccounts import opening, provisioning  # noqa: E402

agency = Agency.objects.get(slug=sys.argv[1])
print("ready", flush=True)
for number in count():
    if number % 3 == 0:
        provisioning.add_spare()
    name = f"k{uuid4().hex[:12]}"
    opening.open_sub_account(
        agency=agency, first_name="Kim", last_name=name, slug=name, email=f"{name}@killed.example", by=system("opener")
    )
    print("opened", flush=True)
