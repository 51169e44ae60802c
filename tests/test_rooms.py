"""Imports run down: no file knows a room above its own."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "fairseq_ringformer"
# From the ground up. What of text knows nothing of models lies below them, its engines above.
FLOORS = [
    ["errors", "extras", "machine", "files", "_fairseq"],
    [
        "modules",
        "text/blanks",
        "text/normalisation",
        "text/prepared",
        "text/scoring",
        "text/sentences",
        "text/stream",
        "text/subwords",
        "text/wordpieces",
    ],
    ["models", "vision"],
    ["export"],
    ["text"],
    ["analysis", "serve"],
    ["cli"],
]


def floor_of(module: str) -> int | None:
    """The floor of a module, such as ``text/stream``; None if it is on none."""
    places = {place: floor for floor, places in enumerate(FLOORS) for place in places}
    room = module.split("/")[0]
    return places.get(module, places.get(room))


def imported(path: Path) -> list[str]:
    """What a file imports from the package: of ``from ..text import stream`` text/stream."""
    modules = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for name in node.names:
                is_module = (folder / f"{name.name}.py").exists() or (folder / name.name).is_dir()
                modules.append((folder / name.name if is_module else folder).relative_to(PACKAGE).as_posix())
    return modules


def test_imports_run_down():
    arrows = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        if floor_of(module) is not None:
            arrows += [(module, other) for other in imported(path) if floor_of(other) is not None]
    assert ("cli/translate", "text/stream") in arrows and ("cli/translate", "cli/subwords") in arrows
    assert [arrow for arrow in arrows if floor_of(arrow[0]) < floor_of(arrow[1])] == []
