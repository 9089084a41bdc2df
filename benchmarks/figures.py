"""Figures as every benchmark prints them: `name = value unit (goal: …) ok|short`."""

from dataclasses import dataclass, field


@dataclass
class Figures:
    """Prints each figure as it is added; `status()` is the exit code: 1 when one was short."""

    short: list[str] = field(default_factory=list)

    def note(self, name: str, value: float, unit: str = "") -> None:
        """A measurement without a goal."""
        print(f"{name} = {_number(value)} {unit}".rstrip(), flush=True)

    def at_least(self, name: str, value: float, goal: float, unit: str = "×") -> None:
        self._add(name, value, unit, f"≥ {goal:g}", value >= goal)

    def at_most(self, name: str, value: float, goal: float, unit: str) -> None:
        self._add(name, value, unit, f"≤ {goal:g}", value <= goal)

    def status(self) -> int:
        return 1 if self.short else 0

    def _add(self, name: str, value: float, unit: str, goal: str, is_met: bool) -> None:
        if not is_met:
            self.short.append(name)
        print(f"{name} = {_number(value)} {unit} (goal: {goal}) {'ok' if is_met else 'short'}", flush=True)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
