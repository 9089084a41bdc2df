"""Settings out of the environment: typed, and every missing or malformed one named at once."""

import os
from collections.abc import Callable
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


class Environment:
    """Reads variables; `finish()` raises once with the whole list of what is missing or malformed."""

    def __init__(self, variables: dict[str, str] | None = None) -> None:
        self.variables = dict(os.environ) if variables is None else variables
        self.problems: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        return self._read(name, default, str, "text")

    def number(self, name: str, default: int | None = None) -> int:
        return self._read(name, default, int, "a whole number")

    def flag(self, name: str, default: bool = False) -> bool:
        words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False, "": False}
        return self._read(name, default, lambda raw: words[raw.lower()], "yes or no")

    def _read(self, name: str, default: T | None, parse: Callable[[str], T], kind: str) -> T:
        raw = self.variables.get(name)
        if raw is None or raw == "":
            if default is None:
                self.problems.append(f"{name} is not set ({kind} expected)")
                return parse("0") if kind != "text" else parse("")
            return default
        try:
            return parse(raw)
        except (KeyError, ValueError):
            self.problems.append(f"{name} is not {kind}")
            return default if default is not None else parse("0")

    def require(self, condition: bool, problem: str) -> None:
        if not condition:
            self.problems.append(problem)

    def finish(self) -> None:
        if self.problems:
            raise ImproperlyConfigured(
                "The environment is not complete:\n  - " + "\n  - ".join(self.problems) + "\nSee docs/operations.md for every variable."
            )
