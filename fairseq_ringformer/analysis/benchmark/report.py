"""What a benchmark found: as a table, as JSON, as bars."""

import platform
import shlex
import sys
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch
from tabulate import tabulate

from ... import __version__
from ...machine import cores, processor
from .measure import Result
from .profile import Profile
from .runner import Benchmark

SCHEMA = 2
TOTAL = "in all"
BUSY = 10  # percent of the processor that others may use before the table warns


@dataclass(frozen=True)
class Outcome:
    """Results with all that is needed to judge or repeat them.

    Attributes:
        machine: processor, cores, versions; `busy`: percent of the processor that other work took, before or after.
        settings: the benchmark's, by name.
        data: what the work is, or where it is from.
        command: as typed.
        candidates: name, architecture, options, parameters; the baseline first.
        results: see :class:`.measure.Result`.
        profiles: by what was run and candidate, see :class:`.profile.Profile`.
    """

    machine: dict[str, Any]
    settings: dict[str, Any]
    data: str
    command: str
    candidates: list[dict[str, Any]]
    results: list[Result]
    profiles: dict[str, dict[str, Profile]]

    @classmethod
    def of(cls, benchmark: Benchmark, profiled: bool = False) -> "Outcome":
        """Run `benchmark`; if `profiled`, also say where the time goes."""
        candidates = []
        for candidate in benchmark.candidates:
            total, inner = candidate.parameters()
            figures = {"parameters": total, "parameters_without_embeddings_and_head": inner}
            candidates.append({**asdict(candidate), **figures})
        machine = describe_machine(benchmark.settings.device)
        busy = psutil.cpu_percent(interval=1)
        results = benchmark.run()
        machine["busy"] = max(busy, psutil.cpu_percent(interval=1))
        command = shlex.join(["ringformer", *sys.argv[1:]])
        profiles = benchmark.profiles() if profiled else {}
        return cls(machine, asdict(benchmark.settings), benchmark.data, command, candidates, results, profiles)

    def table(self) -> str:
        """For people: the machine, the candidates, and a row for each result."""
        machine, settings = self.machine, self.settings
        gpu = f", {machine['gpu']}" if machine["gpu"] else ""
        lines = [
            f"{machine['processor']}, {machine['cores']} cores, {settings['threads']} threads{gpu}; torch {machine['torch']}"
        ]
        if (busy := machine["busy"]) >= BUSY:
            lines.append(f"other work took {busy:.0f}% of the processor before or after: do not trust these times")
        lines.append(f"{self.data}, seed {settings['seed']}, {settings['rounds']} rounds in turn")
        lines += [
            f"{candidate['name']}: {candidate['parameters']:,} parameters, "
            f"{candidate['parameters_without_embeddings_and_head']:,} without embeddings and head"
            for candidate in self.candidates
        ]
        rows, last = [], None
        for result in self.results:
            title = f"{result.measure}: {result.setting}"
            rows.append(
                [
                    "" if title == last else title,
                    result.candidate,
                    show(result),
                    "" if result.ratio is None else f"{result.ratio:.3f}",
                    "" if result.spread is None else "{:.3f} - {:.3f}".format(*result.spread),
                ]
            )
            last = title
        headers = ["measure", "", "median", "ratio", "middle half"]
        sides = ("left", "left", "right", "right", "left")
        return "\n".join(lines) + "\n\n" + tabulate(rows, headers=headers, colalign=sides, disable_numparse=True)

    def profile_tables(self, longest: int = 12) -> str:
        """For people: milliseconds by part, and the `longest` operations of each candidate."""
        tables = []
        for title, profiles in self.profiles.items():
            columns = {name: _part_columns(profile) for name, profile in profiles.items()}
            parts = list(dict.fromkeys(part for profile in profiles.values() for part in profile.parts))
            rows = [
                [part, *(cells.get(part, "") for by_title in columns.values() for cells in by_title.values())]
                for part in [*parts, TOTAL]
            ]
            headers = ["", *(f"{name}\n{what}" for name, by_title in columns.items() for what in by_title)]
            tables.append(f"{title}, one batch\n" + _aligned(rows, headers))
            rows = [
                [
                    name if not number else "",
                    operation,
                    f"{spent:,.1f}",
                    f"{100 * spent / profile.total:.1f}%",
                    f"{count:,}",
                ]
                for name, profile in profiles.items()
                for number, (operation, (spent, count)) in enumerate(list(profile.operations.items())[:longest])
            ]
            tables.append(_aligned(rows, ["", "operation", "ms", "share", "calls"], names=2))
        return "\n\n".join(tables)

    def as_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}


def _part_columns(profile: Profile) -> dict[str, dict[str, str]]:
    """Cells by heading and part; the last part is the total."""
    backward = sum(both[1] for both in profile.parts.values())
    spent = {**profile.parts, TOTAL: (profile.total - backward, backward)}
    columns = {
        "ms": {part: f"{sum(both):,.1f}" for part, both in spent.items()},
        "backward": {part: f"{both[1]:,.1f}" for part, both in spent.items()},
        "share": {part: f"{100 * sum(both) / profile.total:.1f}%" for part, both in spent.items()},
    }
    if not backward:
        del columns["backward"]
    return columns


def _aligned(rows: list[list[str]], headers: list[str], names: int = 1) -> str:
    sides = ["left"] * names + ["right"] * (len(headers) - names)
    return tabulate(rows, headers=headers, colalign=sides, disable_numparse=True)


def show(result: Result) -> str:
    """The value of `result` as people read it."""
    value, unit = result.value, result.unit
    if unit == "bytes":
        return f"{value / 1e6:,.1f} MB"
    if unit == "share":
        return f"{100 * value:.1f}% of {result.extra['peak'] / 1e9:,.0f} G multiply-adds/s"
    text = f"{value:,.0f} {unit}" if value >= 100 else f"{value:.2f} {unit}"
    tokens = result.extra.get("tokens/s")
    text += f", {tokens:,.0f} tokens/s" if tokens else ""
    return text + (", prepared" if result.extra.get("prepared") else "")


def describe_machine(device: str) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processor": processor(),
        "cores": cores(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ringformer": __version__,
    }
