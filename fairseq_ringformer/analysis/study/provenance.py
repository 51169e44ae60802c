"""Which code and which machine made a result."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ... import __version__
from ...machine import processor


def provenance(gpus: Sequence[str], cores: int) -> dict[str, Any]:
    """Commit, versions and machine, as the results tell of them."""
    versions = {"fairseq_ringformer": __version__, "python": platform.python_version(), "torch": torch.__version__}
    for package in ("fairseq-fixed", "sacrebleu", "timm"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    machine = torch.cuda.get_device_name(0) if gpus else f"{processor()}, {cores} cores"
    return {"commit": commit(Path(__file__).parents[2]), "versions": versions, "machine": machine}


def commit(folder: Path) -> str | None:
    """The commit of the code in `folder`, with a plus if it was changed since; None if no repository has it."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)

    try:
        if not git("ls-files", ".").stdout:  # installed in somebody else's repository, perhaps
            return None
        head, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", ".")
    except OSError:
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "") if head.returncode == 0 else None
