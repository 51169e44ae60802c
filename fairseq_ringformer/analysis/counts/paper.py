"""The paper's tables (arXiv 2502.13181), as `paper.yaml` lists them: how rows are built and trained, what was published."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...modules import StackConfig
from .parts import PartCount, totals

VOCABULARY = 52_000  # BiBERT's WordPieces, shared by both sides
TRANSLATION, VISION = "translation", "vision"
PAPER = Path(__file__).with_name("paper.yaml")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: unique in its table.
        model: what the table calls it.
        arch: an architecture of fairseq, or a model of timm.
        flags: of the model, by name without dashes.
        settings: of its training, in place of the table's flags.
        parameters: published, in millions; score: published, BLEU or top-1.
        note: why the published parameters cannot be met.
    """

    name: str
    model: str
    arch: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: float | None = None
    score: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows that are counted and trained alike.

    Attributes:
        kind: ``translation`` or ``vision``.
        baseline: the row with which the others are compared.
        updates, warmup: of the published training.
        flags: of its command line, by name without dashes.
        inner: the published parameters leave out embeddings and head (P*).
        truncated: they are cut to two decimals, not rounded.
    """

    name: str
    caption: str
    kind: str
    baseline: str
    updates: int
    warmup: int
    flags: Mapping[str, Any]
    rows: tuple[Row, ...]
    inner: bool = False
    truncated: bool = False

    @property
    def vision(self) -> bool:
        return self.kind == VISION


def as_flags(options: Mapping[str, Any]) -> list[str]:
    """``{"signal-rank": 4}`` as words of a command line; a flag that is False is left out."""
    words: list[str] = []
    for name, value in options.items():
        if value is False:
            continue
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words


def read_tables(path: Path = PAPER) -> dict[str, Table]:
    """The tables of a file such as ``paper.yaml``, by name.

    Raises:
        UserError: if it is not written as that file is.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return {name: _table(name, entry) for name, entry in content.items()}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())
        raise UserError(f"{path}: not a list of tables as paper.yaml is ({type(error).__name__}: {why})") from None


def _table(name: str, entry: dict[str, Any]) -> Table:
    rows = tuple(_row(row) for row in entry["rows"])
    settings, parameters = entry["settings"], entry.get("parameters", {})
    for key in ("updates", "warmup"):
        if not isinstance(settings[key], int) or settings[key] < (key == "updates"):
            raise UserError(f"{name}: {key} {settings[key]!r} is no number of updates")
    names = [row.name for row in rows]
    if len(set(names)) < len(names):
        raise UserError(f"{name}: two rows have one name: {', '.join(names)}")
    baseline = str(entry["baseline"])
    if baseline not in names:
        raise UserError(f"{name}: no row is called {baseline}, the baseline; rows: {', '.join(names)}")
    if entry["kind"] not in (TRANSLATION, VISION):
        raise UserError(f"{name}: kind {entry['kind']}: {TRANSLATION} or {VISION}")
    return Table(
        name,
        entry.get("caption", name),
        entry["kind"],
        baseline,
        settings["updates"],
        settings["warmup"],
        _flags(settings, "flags"),
        rows,
        parameters.get("count") == "inner",
        parameters.get("digits") == "truncated",
    )


def _row(entry: dict[str, Any]) -> Row:
    rest = {key: value for key, value in entry.items() if key not in ("row", "model", "flags", "settings")}
    name = str(entry["row"])
    return Row(name, entry.get("model", name), flags=_flags(entry, "flags"), settings=_flags(entry, "settings"), **rest)


def _flags(entry: dict[str, Any], key: str) -> dict[str, Any]:
    flags = entry.get(key) or {}
    if not isinstance(flags, dict):
        raise UserError(f"{key} {flags!r} are not written as NAME: VALUE")
    return flags


@functools.lru_cache(maxsize=1)
def paper_tables() -> dict[str, Table]:
    """The tables of the paper, and those of its rows at other sizes."""
    return read_tables()


def count_table(number: int) -> list[dict]:
    """Count every row of a table of the paper.

    Returns:
        a dictionary per row: ``model``, ``embed_dim``, ``ffn_dim``, ``parameters``, ``published`` (as printed), ``exact``
        (the count, cut or rounded as the paper's, is the published figure), and ``note``.
    """
    table = paper_tables()[f"table{number}"]
    results = []
    for row in table.rows:
        parts, stack = (_count_classifier if table.vision else _count_translator)(row)
        inner, total = totals(parts)
        count = (inner if table.inner else total).unique
        exact = (math.floor if table.truncated else round)(count / 10_000) == round(row.parameters * 100)
        results.append(
            {
                "model": row.model,
                "embed_dim": stack.embed_dim,
                "ffn_dim": stack.ffn_dim,
                "parameters": count,
                "published": f"{row.parameters:.2f}M",
                "exact": exact,
                "note": None if exact else f"{(count - row.parameters * 1e6) / 1e6:+.2f}M: {row.note}",
            }
        )
    return results


def _count_translator(row: Row) -> tuple[list[PartCount], StackConfig]:
    from .translation import build_on_meta, count_parts

    # The paper's head has a bias; it counts in totals only.
    model = build_on_meta(row.arch, (*as_flags(row.flags), "--output-bias"), VOCABULARY, VOCABULARY)
    return count_parts(model), model.encoder.stack.config


def _count_classifier(row: Row) -> tuple[list[PartCount], StackConfig]:
    from .vision import build_on_meta, count_parts

    model = build_on_meta(row.arch)
    return count_parts(model), model.stack.config
