"""Fills a running product's database with the cast, a canary lead in each of three workspaces, and a signed-in session for each.

`python -m tests.attacks.canaries` prints {slug: session cookie}.
"""

import json

import django

django.setup()

from subaccounts.tenancy import enter  # noqa: E402
from tests.cast import Cast, Visitor, assemble, host_of  # noqa: E402
from workspace.models import Contact, Lead  # noqa: E402

assemble()
cast = Cast()
cookies = {}
for sub_account, person in ((cast.acme, cast.paul), (cast.koala, cast.kira), (cast.beacon, cast.ben)):
    with enter(sub_account):
        canary = f"canary of {sub_account.slug}"
        Lead.objects.create(contact=Contact.objects.create(name=canary), name=canary, email="canary@bird.example", question=canary)
    cookies[sub_account.slug] = Visitor(host_of(sub_account), person).cookies["__Host-session"].value
print(json.dumps(cookies))
