"""Say where every line came from: packages, versions, licences, command."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from corpus.catalogue import Source
from corpus.extract import LICENCES


def provenance(sources: Iterable[tuple[Source, dict]], command: str, seed: int, date: str) -> str:
    """The text of PROVENANCE.md; ``sources`` pairs every source with the origin that its extraction wrote."""
    lines = [
        "# Where this text comes from",
        "",
        f"Made on {date} with seed {seed} by",
        "",
        f"    {command}",
        "",
        "from Debian binary packages. The text keeps the licence of the package it was taken from; the "
        "packages' copyright files are in `licences/`, and they are what counts where the short names below differ.",
    ]
    for source, origin in sources:
        lines += ["", f"## {source.title} (`{source.name}`)", "", f"Licence: {source.licence}", ""]
        lines += ["| package (or list of apt) | version | files read | SHA-256 |", "|---|---|---:|---|"]
        for package in origin["packages"]:
            cells = (package["name"], package["version"], str(package["files"]), f"`{package['sha256']}`")
            lines.append(f"| {' | '.join(cells)} |")
        if origin["left out"]:
            lines += ["", f"Not in the package lists, so left out: {', '.join(origin['left out'])}."]
    return "\n".join(lines) + "\n"


def collect_licences(folders: Iterable[Path], target: Path) -> None:
    """Copy the copyright files that the extraction put into ``folders`` to the folder ``target``."""
    for folder in folders:
        shutil.copytree(folder / LICENCES, target, dirs_exist_ok=True)
