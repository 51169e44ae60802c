"""Gradients under torch's DistributedDataParallel; ``torchrun --nproc_per_node 2 ddp_gradients.py OUTPUT`` stores them."""

import os
import sys

import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from tests.building import batch, build

NO_DROPOUT = ("--dropout", "0", "--activation-dropout", "0")
# Name: architecture, flags.
CASES = {
    "ring": ("ringformer_tiny", ()),
    "ring, recomputed": ("ringformer_tiny", ("--checkpoint-activations",)),
    "ring, one table": ("ringformer_tiny", ("--share-all-embeddings", "--checkpoint-activations")),
    "universal, recomputed": ("universal_transformer_tiny", ("--checkpoint-activations",)),
    "one feed-forward for both sides": (
        "one_wide_ffn_tiny",
        ("--ffn-sharing", "one", "--share-encoder-decoder-ffn", "--checkpoint-activations"),
    ),
    "vanilla": ("vanilla_transformer_tiny", ()),
}
SENTENCES = 4


def make(name: str):
    """The model of a case and a batch for it, the same in every process."""
    arch, flags = CASES[name]
    model = build(arch, *NO_DROPOUT, *flags).train()
    return model, batch(model, sentences=SENTENCES)


def gradients(model, forward, source, target):
    """Gradients of the summed loss of predicting each token of `target` from those before it."""
    scores, _ = forward(source, None, target[:, :-1])
    F.cross_entropy(scores.flatten(0, 1), target[:, 1:].flatten(), reduction="sum").backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def main(output: str) -> None:
    torch.distributed.init_process_group("gloo")
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    found = {}
    for name in CASES:
        model, (source, target) = make(name)
        mine = slice(rank * SENTENCES // size, (rank + 1) * SENTENCES // size)
        found[name] = gradients(model, DistributedDataParallel(model), source[mine], target[mine])
    if rank == 0:
        torch.save(found, output)
    torch.distributed.barrier()
    sys.stdout.flush()
    # On a loaded machine, gloo's threads may still run when the interpreter takes them down, and abort the process.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
