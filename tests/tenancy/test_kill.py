"""A process that opens sub-accounts is killed anywhere, and nothing half-built is left."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

from agency.models import Agency
from subaccounts import catalogue, provisioning, template
from subaccounts.models import SpareWorkspace, SubAccount
from tests import cast as people
from tests.tenancy.conftest import Pair

KILLED = "killed-opener"


@pytest.fixture
def busy(pair: Pair) -> Iterator[Agency]:
    """An agency without a limit, that another process can see."""
    name = f"kill{uuid4().hex[:8]}"
    agency = people.agency(name="Killed Often", slug=name, owner=people.person(f"{name}@kill.example", "Kay", "Nine"))
    Agency.objects.filter(pk=agency.pk).update(max_sub_accounts_override=100_000)
    yield agency
    for spare in SpareWorkspace.objects.all():
        provisioning._drop_spare(spare.schema_name)


def open_until_killed(agency: Agency, chance: random.Random) -> None:
    """Kill it somewhere in the middle of one of its first openings."""
    database = str(connection.settings_dict["NAME"])
    environment = {**os.environ, "DATABASE_URL": make_conninfo(os.environ["DATABASE_URL"], dbname=database)}
    environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
    environment["PGAPPNAME"] = KILLED
    with subprocess.Popen(
        [sys.executable, "-m", "tests.tenancy.opener", agency.slug],
        cwd=settings.BASE_DIR, env=environment, start_new_session=True, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for _ in range(chance.randint(1, 4)):
            assert process.stdout.readline() != b"", "it ended by itself"
        time.sleep(chance.uniform(0, 0.05))
        os.killpg(process.pid, signal.SIGKILL)
    wait_until_the_server_noticed()


def wait_until_the_server_noticed() -> None:
    deadline = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s", [KILLED])
            if cursor.fetchone()[0] == 0:
                return
            time.sleep(0.02)
    raise AssertionError("the killed process is still connected")


def half_built(agency: Agency) -> list[str]:
    opened = SubAccount.objects.of(agency)
    schemas = [*opened.values_list("schema_name", flat=True), *SpareWorkspace.objects.values_list("schema_name", flat=True)]
    digests = catalogue.digests(schemas)
    whole = template.current().digest
    found = [f"{schema} is not whole" for schema in schemas if digests.get(schema) != whole]
    found += [f"{schema} is nobody's" for schema, seen in provisioning._orphans() if seen is None]
    found += [f"{row.slug} has no domain" for row in opened.filter(domains=None)]
    found += [f"{row.slug} has no login" for row in opened.clients().filter(accesses=None)]
    return found


def kill_often(agency: Agency, times: int) -> int:
    chance = random.Random(7)
    provisioning.drop_orphans()  # marks what earlier tests may have left
    for _ in range(times):
        open_until_killed(agency, chance)
        assert half_built(agency) == []
    return SubAccount.objects.of(agency).clients().count()


def test_a10_killed_while_opening_leaves_nothing_half_built(busy: Agency) -> None:
    kill_often(busy, 3)


@pytest.mark.long
def test_a10_long_killed_forty_times_while_opening_leaves_nothing_half_built(busy: Agency) -> None:
    opened = kill_often(busy, 40)
    print(f"40 kills, {opened} opened, 0 half-built")
    assert opened > 40
