"""A clone in which the quickstart and the Fashion-MNIST recipe have been, in miniature."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.docs.markdown import ROOT
from tests.vision.images import encoded

DATA = "data/debian_de_en_quick_4000"
TRAIN = "--max-update 6 --save-interval-updates 2 --validate-interval-updates 6 --log-format none"
IMAGES = "--config examples/fashion_mnist/config.yaml --data data/fashion_mnist --max-update 2 --warmup-updates 0 --batch-size 8"

# What the pages name: see their commands. The numbers stand for the Debian text, which needs a network and a minute.
PREPARE = f"""
examples/debian_de_en/prepare.sh --source numbers --sizes 900 16 16 --vocab-size 120 --output {DATA}
for arch in ringformer_tiny vanilla_transformer_tiny; do
    examples/debian_de_en/train.sh --arch $arch --data {DATA} --output runs/$arch {TRAIN}
    ringformer average --dir runs/$arch/checkpoints --last 3 --by update --output runs/$arch/averaged.pt
done
for arch in vit_ring_tiny_patch4_28 vit_vanilla_tiny_patch4_28; do
    ringformer train-classifier {IMAGES} --model $arch --output runs/${{arch}}_seed1
done
head -n 3 {DATA}/raw/test.de > german.txt
head -n 50 {DATA}/raw/train.de > train.de
head -n 50 {DATA}/raw/train.en > train.en
cp {DATA}/raw/train.de my.de
cp {DATA}/raw/train.en my.en
"""


def run_in(folder: Path, *command: str) -> subprocess.CompletedProcess:
    """Run `command` in the clone `folder`, with its package and the environment's own commands."""
    env = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    env["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), env.get("PATH", "")))
    return subprocess.run(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600
    )


def shell(folder: Path, text: str) -> subprocess.CompletedProcess:
    return run_in(folder, "bash", "-c", "set -euo pipefail\n" + text)


def _write_fashion(folder: Path) -> None:
    """Random images and labels in the files that torchvision reads."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for split, count in (("train", 32), ("t10k", 16)):
        images, labels = rng.integers(0, 256, (count, 28, 28)), np.arange(count) % 10
        for name, values in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
            header = [0x800 + values.ndim, *values.shape]
            (folder / name).write_bytes(np.array(header, ">i4").tobytes() + values.astype(np.uint8).tobytes())


def _write_vocabulary(folder: Path) -> None:
    """WordPieces that are single characters, of the text there."""
    characters = sorted({*"".join((folder / name).read_text(encoding="utf-8") for name in ("train.de", "train.en"))})
    characters = [one for one in characters if not one.isspace()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{one}" for one in characters)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "clone"
    for name in ("fairseq_ringformer", "examples", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "hubconf.py", folder)
    (folder / ".venv").symlink_to(sys.prefix)
    _write_fashion(folder / "data/fashion_mnist/FashionMNIST/raw")
    (folder / "photos").mkdir()
    for seed, name in enumerate(("photo.jpg", "photos/1.jpg", "photos/2.jpg")):
        (folder / name).write_bytes(encoded(seed, size=40, format="JPEG"))
    result = shell(folder, PREPARE)
    assert result.returncode == 0, result.stdout[-1500:]
    _write_vocabulary(folder)
    return folder


@pytest.fixture
def clone(prepared, tmp_path) -> Path:
    """A copy of it, for one page."""
    return Path(shutil.copytree(prepared, tmp_path / "clone", symlinks=True))
