"""What a benchmark found: as a table, as JSON, as bars."""

import json
import os
import platform
import shlex
import sys
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch
from tabulate import tabulate

from ... import __version__
from ...machine import processor
from .measure import Result
from .profile import Profile
from .runner import Benchmark

SCHEMA = 1
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
        contenders: name, architecture, options, parameters; the baseline first.
        results: see :class:`.measure.Result`.
        profiles: by what was run and contender, see :class:`.profile.Profile`.
    """

    machine: dict[str, Any]
    settings: dict[str, Any]
    data: str
    command: str
    contenders: list[dict[str, Any]]
    results: list[Result]
    profiles: dict[str, dict[str, Profile]]

    @classmethod
    def of(cls, benchmark: Benchmark, profiled: bool = False) -> "Outcome":
        """Run `benchmark`; if `profiled`, also say where the time goes."""
        contenders = [
            {**asdict(contender), "parameters": total, "parameters_without_embeddings_and_head": inner}
            for contender, (_, total, inner) in zip(benchmark.contenders, benchmark.describe())
        ]
        machine = describe_machine(benchmark.settings.device)
        busy = psutil.cpu_percent(interval=1)
        results = benchmark.run()
        machine["busy"] = max(busy, psutil.cpu_percent(interval=1))
        command = shlex.join(["ringformer", *sys.argv[1:]])
        settings = asdict(benchmark.settings)
        return cls(
            machine, settings, benchmark.data, command, contenders, results, benchmark.profiles() if profiled else {}
        )

    def table(self) -> str:
        """For people: the machine, the contenders, and a row for each result."""
        machine, settings = self.machine, self.settings
        lines = [
            f"{machine['processor']}, {machine['cores']} cores, {settings['threads']} threads"
            + (f", {machine['gpu']}" if machine["gpu"] else "")
            + f"; torch {machine['torch']}",
            *self._warnings(),
            f"{self.data}, seed {settings['seed']}, {settings['rounds']} rounds in turn",
        ]
        lines += [
            f"{contender['name']}: {contender['parameters']:,} parameters, "
            f"{contender['parameters_without_embeddings_and_head']:,} without embeddings and head"
            for contender in self.contenders
        ]
        rows, last = [], None
        for result in self.results:
            title = f"{result.measure}: {result.setting}"
            rows.append(
                [
                    "" if title == last else title,
                    result.contender,
                    show(result),
                    "" if result.ratio is None else f"{result.ratio:.3f}",
                    "" if result.spread is None else "{:.3f} - {:.3f}".format(*result.spread),
                ]
            )
            last = title
        headers = ["measure", "", "median", "ratio", "middle half"]
        return (
            "\n".join(lines)
            + "\n\n"
            + tabulate(
                rows, headers=headers, colalign=("left", "left", "right", "right", "left"), disable_numparse=True
            )
        )

    def _warnings(self) -> list[str]:
        busy = self.machine["busy"]
        if busy < BUSY:
            return []
        return [f"other work took {busy:.0f}% of the processor before or after: do not trust these times"]

    def profile_tables(self, longest: int = 12) -> str:
        """For people: milliseconds by part, and the `longest` operations of each contender."""
        tables = []
        for title, profiles in self.profiles.items():
            columns = {name: _part_columns(own) for name, own in profiles.items()}
            parts = list(dict.fromkeys(part for own in profiles.values() for part in own.parts))
            rows = [
                [part, *(column.get(part, "") for own in columns.values() for column in own.values())]
                for part in [*parts, TOTAL]
            ]
            headers = ["", *(f"{name}\n{what}" for name, own in columns.items() for what in own)]
            tables.append(f"{title}, one batch\n" + _aligned(rows, headers))
            rows = [
                [name if not rank else "", operation, f"{spent:,.1f}", f"{100 * spent / own.total:.1f}%", f"{count:,}"]
                for name, own in profiles.items()
                for rank, (operation, (spent, count)) in enumerate(list(own.operations.items())[:longest])
            ]
            tables.append(_aligned(rows, ["", "operation", "ms", "share", "calls"], names=2))
        return "\n\n".join(tables)

    def as_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    def write_json(self, path: str) -> None:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.as_dict(), file, indent=2)
            file.write("\n")


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
    return f"{text}, {tokens:,.0f} tokens/s" if tokens else text


def describe_machine(device: str) -> dict[str, Any]:
    """What the figures depend on."""
    gpu: str | None = torch.cuda.get_device_name() if device == "cuda" else None
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": gpu,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ringformer": __version__,
    }
