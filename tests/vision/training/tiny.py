"""A tiny model and its training, for tests."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from fairseq_ringformer.vision.training.options import Options
from fairseq_ringformer.vision.training.trainer import Trainer

MODEL = "vit_ring_tiny_patch4_28"
SIZES = dict(embed_dim=16, ffn_dim=32, depth=2, num_heads=2)
# No random choices but the weights and the order.
PLAIN = dict(crop="none", hflip=0.0)


def options(data: Path, output: Path, **changes) -> Options:
    """Three epochs of 24 images at most, in batches of 8, on the CPU, in this process."""
    settings = dict(
        data=str(data),
        output=str(output),
        model=MODEL,
        model_arg=SIZES,
        img_size=8,
        batch_size=8,
        workers=0,
        device="cpu",
        log_interval=2,
        lr=0.01,
    )
    if "max_update" not in changes:
        settings["epochs"] = 3
    return Options(**{**settings, **changes})


def train(data: Path, output: Path, **changes) -> dict:
    return Trainer(options(data, output, **changes)).train()


def batches(training: Trainer, updates: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Images and targets of the first updates of a training, written out."""
    images = training.batches.images
    for update in range(updates):
        epoch, position = divmod(update, training.batches.updates)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1_000_003 + epoch))
        samples = [images[int(index)] for index in order[8 * position : 8 * position + 8]]
        yield torch.stack([image for image, _, _ in samples]), torch.tensor([target for _, target, _ in samples])


def last(output: Path) -> dict:
    return torch.load(output / "last.pt", weights_only=True)


def rows(output: Path) -> list:
    with open(output / "log.csv", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def same_weights(left: dict, right: dict, atol: float = 0.0) -> bool:
    """Whether two dictionaries of tensors agree, exactly or within `atol`."""
    assert left.keys() == right.keys()
    if not atol:
        return all(left[key].equal(right[key]) for key in left)
    return all(torch.allclose(left[key], right[key], rtol=0, atol=atol) for key in left)


def launch(processes: int, module: str, *arguments, launcher: str = "torchrun") -> subprocess.CompletedProcess:
    """Run a module in several processes on the CPU."""
    folder = Path(sys.executable).parent
    port = str(29500 + os.getpid() % 2000)
    start = {
        "torchrun": [
            sys.executable,
            *f"-m torch.distributed.run --nproc_per_node {processes} --master_port {port}".split(),
        ],
        "accelerate": [
            str(folder / "accelerate"),
            *f"launch --multi_gpu --num_processes {processes} --num_machines 1 --mixed_precision no".split(),
            *f"--dynamo_backend no --main_process_port {port}".split(),
        ],
    }[launcher]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(
        [*start, "-m", module, *map(str, arguments)], capture_output=True, text=True, timeout=300, env=environment
    )
