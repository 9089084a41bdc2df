"""Schema per sub-account against stock django-tenants: opening, deploying, asking, and staying apart.

    python -m config.embedded run bench -- python -m benchmarks.tenancy [--large] [--rounds 15] [--only PART …]

Works in databases of its own on the server of DATABASE_URL and drops them. Prints one line per figure,
`name = value unit (goal: …) ok|short`, and exits with 1 when one is short. `--large` deploys over 1,000 workspaces
(the stock way takes minutes there) and touches 2,000 with one connection.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

ROOT = Path(__file__).resolve().parent.parent
MATURE_MIGRATIONS = 120
PARTS = ["open", "mature", "together", "deploy", "column", "requests", "apart", "bystander", "memory"]
Figures = dict[str, Any]
short: list[str] = []


# --- The frame: a database, and a process of its own for each stage ------------------------------------------------------


@contextmanager
def database(name: str) -> Iterator[dict[str, str]]:
    """An empty database with public and the template migrated; gives the environment for processes that use it."""
    server = os.environ["DATABASE_URL"]
    environment = {
        **os.environ,
        "CANOPY_ENV": "test",
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "DATABASE_URL": make_conninfo(server, dbname=name),
    }
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield environment
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def run(environment: dict[str, str], *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**environment, **more}, check=True, stdout=subprocess.PIPE, text=True
    )


def migrate(environment: dict[str, str]) -> None:
    run(environment, "manage.py", "migrate", "--verbosity", "0")


def stage(environment: dict[str, str], name: str, *arguments: object, **more: str) -> Figures:
    done = run(environment, "-m", "benchmarks.tenancy", "--stage", name, *map(str, arguments), **more)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def say(name: str, value: float, unit: str, goal: str, reached: bool) -> None:
    print(f"{name} = {value:,.2f} {unit} (goal: {goal}) {'ok' if reached else 'short'}", flush=True)
    if not reached:
        short.append(name)


def at_least(name: str, value: float, goal: float, unit: str = "x") -> None:
    say(name, value, unit, f">= {goal:g} {unit}", value >= goal)


def at_most(name: str, value: float, goal: float, unit: str) -> None:
    say(name, value, unit, f"<= {goal:g} {unit}", value <= goal)


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# --- The parts -----------------------------------------------------------------------------------------------------------


def part_open(rounds: int, large: bool) -> None:
    with database("canopy_bench_open") as environment:
        migrate(environment)
        report_opening("young", stage(environment, "opening", rounds), spare_goal=100, script_goal=3)


def part_mature(rounds: int, large: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, database("canopy_bench_mature") as environment:
        write_mature_app(Path(folder) / "mature")
        environment["BENCH_MATURE"] = folder
        migrate(environment)
        report_opening("mature", stage(environment, "opening", rounds), spare_goal=400, script_goal=10)


def report_opening(project: str, figures: Figures, *, spare_goal: float, script_goal: float) -> None:
    stock, spare, script = (statistics.median(figures[way]) for way in ("stock", "spare", "script"))
    print(f"# {project}: stock {stock * 1000:.0f} ms, spare {spare * 1000:.1f} ms, script {script * 1000:.1f} ms")
    at_least(f"open_from_spare_{project}", stock / spare, spare_goal)
    at_most(f"open_from_spare_{project}_p95", quantile(figures["spare"], 0.95) * 1000, 150, "ms")
    at_least(f"open_by_script_{project}", stock / script, script_goal)
    at_most(f"catalogue_differences_{project}", figures["differences"], 0, "workspaces")


def write_mature_app(folder: Path) -> None:
    """A workspace app that has been worked on for a while: 12 tables, then a column at a time."""
    (folder / "migrations").mkdir(parents=True)
    for file in (folder / "__init__.py", folder / "migrations" / "__init__.py", folder / "models.py"):
        file.write_text("")
    before = None
    for number in range(1, MATURE_MIGRATIONS + 1):
        name = f"{number:04d}_step"
        (folder / "migrations" / f"{name}.py").write_text(mature_migration(number, before))
        before = name


def mature_migration(number: int, before: str | None) -> str:
    table = f"thing{(number - 1) % 12}"
    if number <= 12:
        fields = '[("id", models.BigAutoField(primary_key=True)), ("title", models.CharField(max_length=80))]'
        operation = f'migrations.CreateModel("{table}", {fields})'
    elif number % 4 == 0:
        operation = f'migrations.AddIndex("{table}", models.Index(fields=["title"], name="mature_{number}"))'
    else:
        operation = f'migrations.AddField("{table}", "extra{number}", models.IntegerField(default=0))'
    dependencies = f'[("mature", "{before}")]' if before else "[]"
    return (
        "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
        f"    dependencies = {dependencies}\n    operations = [{operation}]\n"
    )


def part_together(rounds: int, large: bool) -> None:
    """Four processes open five each at the same moment."""
    with database("canopy_bench_together") as environment:
        migrate(environment)
        stage(environment, "stock_up", 20)
        stock, spare = (openings_at_once(environment, way) for way in ("stock", "spare"))
    errors = 40 - len(stock) - len(spare)
    at_least("open_together", statistics.median(stock) / statistics.median(spare), 200)
    at_most("open_together_errors", errors, 0, "openings")


def openings_at_once(environment: dict[str, str], way: str) -> list[float]:
    start = str(time.time() + 4)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.tenancy", "--stage", "open_five", way, start],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    answers = [process.communicate()[0] for process in processes]
    return [seconds for answer in answers if answer for seconds in json.loads(answer.splitlines()[-1])["seconds"]]


def part_deploy(rounds: int, large: bool) -> None:
    """A deploy with nothing to do, as whole processes."""
    with database("canopy_bench_deploy") as environment:
        migrate(environment)
        for count in (50, 200, 1000) if large else (50, 200):
            stage(environment, "fill", count)
            ours = statistics.median(timed(environment, "migrate_workspaces") for _ in range(3))
            stock = timed(environment, "migrate_schemas", "--tenant", BENCH_STOCK="1")
            print(f"# {count} workspaces: stock {stock:.1f} s, ours {ours:.2f} s")
            at_least(f"noop_deploy_{count}", stock / ours, count * 0.4)


def part_column(rounds: int, large: bool) -> None:
    """A deploy of one column and one index, as whole processes."""
    count = 1000 if large else 100
    with tempfile.TemporaryDirectory() as folder, database("canopy_bench_column") as environment:
        app = Path(folder) / "mature"
        write_mature_app(app)
        environment["BENCH_MATURE"] = folder
        migrate(environment)
        stage(environment, "fill", count)
        add_column_and_index(app, MATURE_MIGRATIONS + 1)
        ours = timed(environment, "migrate_workspaces")
        differ = stage(environment, "differ")["different"]
        add_column_and_index(app, MATURE_MIGRATIONS + 3)
        stock = timed(environment, "migrate_schemas", "--tenant", BENCH_STOCK="1")
    print(f"# {count} workspaces, one column and one index: stock {stock:.1f} s, ours {ours:.2f} s")
    at_least(f"column_and_index_{count}", stock / ours, count * 0.15)
    at_most(f"column_and_index_{count}_differences", differ, 0, "workspaces")


def add_column_and_index(app: Path, number: int) -> None:
    head = "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
    column = f'migrations.AddField("thing0", "late{number}", models.IntegerField(default=0))'
    index = f'migrations.AddIndex("thing0", models.Index(fields=["late{number}"], name="mature_late{number}"))'
    for step, operation in ((number, column), (number + 1, index)):
        before = f'[("mature", "{step - 1:04d}_step")]'
        (app / "migrations" / f"{step:04d}_step.py").write_text(f"{head}    dependencies = {before}\n    operations = [{operation}]\n")


def timed(environment: dict[str, str], *command: str, **more: str) -> float:
    began = time.perf_counter()
    run(environment, "manage.py", *command, "--verbosity", "0", **more)
    return time.perf_counter() - began


def part_requests(rounds: int, large: bool) -> None:
    with database("canopy_bench_requests") as environment:
        migrate(environment)
        stage(environment, "fill", 2)
        turns = [(stage(environment, "requests"), stage(environment, "requests_stock", BENCH_STOCK="1")) for _ in range(3)]
    # Taken in turns, the middle one of each.
    ours, stock = (sorted(side, key=lambda figures: figures["ms"])[len(side) // 2] for side in zip(*turns, strict=True))
    print(f"# stock: {stock['waits_1']:.0f} and {stock['waits_5']:.0f} server waits, {stock['ms']:.2f} ms; ours {ours['ms']:.2f} ms")
    at_most("server_waits_1_query", ours["waits_1"], 2, "round trips")
    at_most("server_waits_5_queries", ours["waits_5"], 6, "round trips")
    at_most("request_time_against_stock", ours["ms"] / stock["ms"], 0.7, "x")


def part_apart(rounds: int, large: bool) -> None:
    with database("canopy_bench_apart") as environment:
        migrate(environment)
        stage(environment, "fill", 8)
        figures = stage(environment, "apart", DATABASE_POOL="3")
    at_least("statements_looked_at", figures["statements"], 10_000, "statements")
    at_most("statements_in_the_wrong_schema", figures["wrong"], 0, "statements")


def part_bystander(rounds: int, large: bool) -> None:
    with database("canopy_bench_bystander") as environment:
        migrate(environment)
        at_most("bystander_longest_wait", stage(environment, "bystander")["longest"] * 1000, 100, "ms")


def part_memory(rounds: int, large: bool) -> None:
    with database("canopy_bench_memory") as environment:
        migrate(environment)
        count = 2000 if large else 400
        stage(environment, "fill", count)
        figures = stage(environment, "memory")
        print(f"# without an end to connections: {figures['unbounded']:.0f} MB after {count} workspaces")
        at_most(f"connection_memory_after_{count}", figures["bounded"], 80, "MB")


# --- The stages: run inside a process that has Django ---------------------------------------------------------------------


def an_agency() -> Any:
    from agency.models import Agency, Plan

    plan, _ = Plan.objects.get_or_create(code="bench", defaults={"name": "Bench", "price_minor": 0})
    return Agency.objects.get_or_create(slug="bench", defaults={"name": "Bench", "plan": plan})[0]


def with_row(agency: Any, schema: str, fingerprint: str) -> Any:
    from subaccounts.models import Domain, SubAccount

    name = schema.replace("_", "-")
    sub_account = SubAccount(agency=agency, name=name, slug=name, schema_name=schema, fingerprint=fingerprint)
    sub_account.save()
    Domain.objects.create(domain=f"{name}.localhost", tenant=sub_account)
    return sub_account


def open_stock(agency: Any) -> Any:
    """As django-tenants does it: row, schema, its migrations."""
    from subaccounts.tenancy import new_schema_name

    sub_account = with_row(agency, new_schema_name(), "")
    sub_account.create_schema(check_if_exists=True, verbosity=0)
    return sub_account


def open_ours(agency: Any) -> Any:
    """From a spare when there is one, else by the script."""
    from django.db import transaction

    from subaccounts import provisioning

    with transaction.atomic():
        return with_row(agency, *provisioning.take_workspace())


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def open_by_script(agency: Any) -> Any:
    from django.db import transaction

    from subaccounts import provisioning

    with transaction.atomic():
        return with_row(agency, *provisioning._build_one())


def warm_up(agency: Any) -> None:
    """A connection of a server has written rows like these before; what stock did last closed it."""
    from django.db import transaction

    from subaccounts.models import SpareWorkspace
    from subaccounts.tenancy import new_schema_name

    with transaction.atomic():
        with_row(agency, new_schema_name(), "")
        SpareWorkspace.objects.filter(schema_name="").delete()
        transaction.set_rollback(True)


def stage_opening(rounds: str) -> Figures:
    from subaccounts import catalogue, template

    agency, seconds = an_agency(), {"stock": [], "spare": [], "script": []}
    stage_stock_up(rounds)  # by the worker, long before
    ways = {"stock": open_stock, "spare": open_ours, "script": open_by_script}
    made: list[str] = []
    turns = [way for way in seconds for _ in range(int(rounds))]
    random.Random(5).shuffle(turns)
    for way in turns:
        warm_up(agency)
        took, sub_account = clocked(lambda w=way: ways[w](agency))
        seconds[way].append(took)
        if way != "stock":
            made.append(sub_account.schema_name)
    whole = template.current().digest
    return {**seconds, "differences": sum(digest != whole for digest in catalogue.digests(made).values()) + len(made) - len(set(made))}


def stage_differ() -> Figures:
    from subaccounts import fleet

    return {"different": len(fleet.different()) + len(fleet.stale())}


def stage_stock_up(count: str) -> Figures:
    from subaccounts import provisioning

    an_agency()
    return {"spares": len([provisioning.add_spare() for _ in range(int(count))])}


def stage_open_five(way: str, start: str) -> Figures:
    agency, opener = an_agency(), open_stock if way == "stock" else open_ours
    time.sleep(max(0.0, float(start) - time.time()))
    return {"seconds": [clocked(lambda: opener(agency))[0] for _ in range(5)]}


def stage_fill(count: str) -> Figures:
    from subaccounts.models import SubAccount

    agency = an_agency()
    for _ in range(int(count) - SubAccount.objects.count()):
        open_ours(agency)
    return {}


def counted_waits(work: Callable[[], Any]) -> int:
    """How often the statements of `work` waited for the server."""
    sent = 0
    original = psycopg.Cursor._start_query

    def start(cursor: Any, query: Any = None) -> Any:
        nonlocal sent
        sent += 1
        return original(cursor, query)

    psycopg.Cursor._start_query = start  # type: ignore[method-assign]
    try:
        work()
    finally:
        psycopg.Cursor._start_query = original  # type: ignore[method-assign]
    return sent


def stage_requests() -> Figures:
    from subaccounts.middleware import HostMiddleware

    return requests_through(HostMiddleware)


def stage_requests_stock() -> Figures:
    from django_tenants.middleware.main import TenantMainMiddleware

    return requests_through(TenantMainMiddleware)


def requests_through(middleware: Any) -> Figures:
    from django.http import HttpRequest, HttpResponse
    from django.test import RequestFactory

    from subaccounts.models import Domain
    from workspace.models import Contact

    hosts = list(Domain.objects.values_list("domain", flat=True)[:2])

    def ask(host: str, queries: int) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            return HttpResponse("".join(str(Contact.objects.filter(pk=number).exists()) for number in range(queries)))

        middleware(view)(RequestFactory().get("/", headers={"host": host}))

    def in_turn(queries: int, times: int) -> None:
        for number in range(times):
            ask(hosts[number % 2], queries)

    in_turn(1, 10)
    waits = {count: counted_waits(lambda c=count: in_turn(c, 20)) / 20 for count in (1, 5)}
    seconds = [clocked(lambda: in_turn(5, 20))[0] / 20 for _ in range(25)]
    return {"waits_1": waits[1], "waits_5": waits[5], "ms": statistics.median(seconds) * 1000}


def stage_apart() -> Figures:
    """Threads over a pool of three connections; every third transaction fails, every fifth has the path changed underneath."""
    from concurrent.futures import ThreadPoolExecutor

    from django.db import ProgrammingError, connection, transaction

    from subaccounts.models import SubAccount
    from subaccounts.tenancy import enter

    everyone = list(SubAccount.objects.all())
    connection.close()

    def where() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            return str(cursor.fetchone()[0])

    def visit(sub_account: Any, turn: int) -> int:
        wrong = 0
        with enter(sub_account):
            if turn % 5 == 0:
                connection.ensure_connection()
                psycopg.Cursor(connection.connection).execute(f"SET search_path = {everyone[turn % 8].schema_name}".encode())
            try:
                with transaction.atomic():
                    wrong += where() != sub_account.schema_name
                    if turn % 3 == 0:
                        with connection.cursor() as cursor:
                            cursor.execute("SELECT * FROM nowhere")
            except ProgrammingError:
                pass
            wrong += where() != sub_account.schema_name
        return wrong

    def work(number: int) -> int:
        wrong = 0
        for turn in range(700):
            wrong += visit(everyone[(number + turn) % len(everyone)], turn)
            if turn % 4 == 0:
                connection.close()
        connection.close()
        return wrong

    with ThreadPoolExecutor(8) as threads:
        wrong = sum(threads.map(work, range(8)))
    return {"statements": 8 * 700 * 2, "wrong": wrong}


def stage_bystander() -> Figures:
    """Somebody signs in again and again while workspaces open and drop and another transaction holds a row of the users' table."""
    from django.db import connection, transaction

    from agency.models import User
    from subaccounts import template

    agency = an_agency()
    writer, bystander = (User.objects.create(email=f"{name}@bench.example") for name in ("writer", "bystander"))
    waits: list[float] = []
    over = threading.Event()

    def sign_in() -> None:
        while not over.is_set():
            waits.append(clocked(lambda: User.objects.filter(pk=bystander.pk).update(first_name="here"))[0])
        connection.close()

    def open_and_drop() -> None:
        for _ in range(10):
            template.drop(open_ours(agency).schema_name)
        connection.close()

    with transaction.atomic():
        User.objects.filter(pk=writer.pk).update(first_name="busy")
        threads = [threading.Thread(target=sign_in), threading.Thread(target=open_and_drop)]
        for thread in threads:
            thread.start()
        threads[1].join()
        over.set()
        threads[0].join()
    return {"longest": max(waits), "count": len(waits)}


def stage_memory() -> Figures:
    from django.db import connection

    from subaccounts.models import SubAccount
    from subaccounts.postgresql import base
    from subaccounts.tenancy import enter

    everyone = list(SubAccount.objects.all())
    with enter(everyone[0]), connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)

    def used() -> float:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(total_bytes) FROM pg_backend_memory_contexts")
            return float(cursor.fetchone()[0]) / 1_000_000

    def touch_all() -> float:
        most = 0.0
        for number, sub_account in enumerate(everyone):
            with enter(sub_account), connection.cursor() as cursor:
                for table in tables:
                    cursor.execute(f"SELECT * FROM {table} LIMIT 1")
                if number % 20 == 19:
                    most = max(most, used())
        return most

    connection.close()
    bounded = touch_all()
    base.MAX_SCHEMAS_PER_CONNECTION = 10**9
    connection.close()
    return {"bounded": bounded, "unbounded": touch_all()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--stage", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        import django

        django.setup()
        name, *arguments = options.stage
        print(json.dumps(globals()[f"stage_{name}"](*arguments)))
        return 0
    for part in options.only:
        globals()[f"part_{part}"](options.rounds, options.large)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
