"""Every deed that the code records is in words: collected from the code itself, not from what somebody remembered."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings

from agency import deeds, security
from agency.admin import staff
from agency.models import AuditRecord
from kit.ids import uuid7

ROOT = Path(__file__).parents[2]
APPS = ("agency", "billing", "credits", "kit", "subaccounts", "whitelabel", "workspace", "config")
ACTION = re.compile(r"[a-z_]+\.[a-z_]+")
RECORDERS = re.compile(r"^(audit|audit_log|security)\.record$|^_?record$|^self\._record$")
# Two places make the action of a table: allauth's signals, and what staff add, change and delete.
FROM_TABLES = {"agency/security.py", "agency/admin.py"}


def calls() -> Iterator[tuple[str, ast.expr]]:
    """Every call that writes a record: where, and its first argument."""
    for app in APPS:
        for path in sorted((ROOT / app).rglob("*.py")):
            where = str(path.relative_to(ROOT))
            if "/migrations/" in where:
                continue
            tree = ast.parse(path.read_text())
            others = {  # a function of that name that takes something else records by a deed it spells itself
                node.name
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef) and RECORDERS.match(node.name) and node.args.args and node.args.args[0].arg != "action"
            } - {"record"}
            for node in ast.walk(tree):
                is_call = isinstance(node, ast.Call) and node.args and ast.unparse(node.func) not in others
                if is_call and isinstance(node, ast.Call) and RECORDERS.match(ast.unparse(node.func)):
                    yield f"{where}:{node.lineno}", node.args[0]


def spelled(argument: ast.expr) -> list[str]:
    """The actions an argument may be; none for a name that only hands an action on."""
    if isinstance(argument, ast.IfExp):
        return [*spelled(argument.body), *spelled(argument.orelse)]
    return [str(argument.value)] if isinstance(argument, ast.Constant) else []


def recorded() -> dict[str, str]:
    found = {action: where for where, argument in calls() for action in spelled(argument) if ACTION.fullmatch(action)}
    found |= {action: "agency/security.py" for _, action in security.RECORDED}
    import_module(settings.STAFF_URLCONF)
    for model_admin in staff._registry.values():
        for page, deed in (("add", "added"), ("change", "changed"), ("delete", "deleted")):
            if page in getattr(model_admin, "offers", ()):
                noun = getattr(model_admin, "noun", "") or str(model_admin.opts.model_name)
                found[f"{noun}.{deed}"] = type(model_admin).__name__
    return found


def test_every_deed_is_in_words() -> None:
    found = recorded()
    assert len(found) > 60
    missing = {action: where for action, where in found.items() if action not in deeds.DEEDS}
    assert missing == {}, "put these into words in agency/deeds.py, with their kind and what a client reads of them"


def test_no_action_hides_from_this_test() -> None:
    """What is neither spelled where it is recorded, nor handed on by a function that was told it, nobody can look up."""
    handed_on = {"action"}
    hidden = [
        f"{where}: {ast.unparse(argument)}"
        for where, argument in calls()
        if not spelled(argument) and not (isinstance(argument, ast.Name) and argument.id in handed_on)
    ]
    assert [line for line in hidden if line.partition(":")[0] not in FROM_TABLES] == []


def test_no_words_for_what_nobody_does() -> None:
    by_the_database = {"audit.forgotten"}
    assert set(deeds.DEEDS) - set(recorded()) - by_the_database == set()


@pytest.mark.parametrize("kind", [kind for kind in deeds.Kind if kind != deeds.Kind.OTHER])
def test_every_kind_has_deeds(kind: deeds.Kind) -> None:
    assert deeds.actions_of(kind)


def test_a_sentence_follows_a_name() -> None:
    for action, deed in deeds.DEEDS.items():
        record = AuditRecord(id=uuid7(), action=action, subject="{subject}", actor_label="Nora Lind <nora@northlight.example>")
        said = deeds.in_words(record)
        assert said[0].islower(), action
        assert not said.endswith("."), action
        assert deeds.who(record) == "Nora Lind"
        assert ("{subject}" in said) is ("{subject}" in deed.words)
