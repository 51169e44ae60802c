"""Devices, processes and random states."""

import os
import random
from datetime import timedelta
from typing import Any

import numpy
import torch
from accelerate import Accelerator, DataLoaderConfiguration, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin

from ...errors import UserError
from ...machine import choose_device, processor
from ..data.randomness import seed_of


def machine(accelerator: Accelerator) -> dict[str, Any]:
    """What the training ran on."""
    device = accelerator.device
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": processor(),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "mixed_precision": accelerator.mixed_precision,
    }


def make_accelerator(options: Any) -> Accelerator:
    """accelerate's view of this process, by ``device``, ``mixed_precision``, ``grad_accum`` and ``threads``.

    Raises:
        UserError: if the device is not there, or does not take the type.
    """
    cpu = choose_device(options.device) == "cpu"
    precision = getattr(options, "mixed_precision", "no")
    if precision == "fp16" and cpu:
        raise UserError("--mixed-precision fp16 needs a GPU; bf16 works on the CPU as well")
    # An earlier training in this process may have set another type.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=getattr(options, "grad_accum", 1), sync_with_dataloader=False
        ),
        dataloader_config=DataLoaderConfiguration(dispatch_batches=False, even_batches=False),
        kwargs_handlers=[_process_group(cpu)] if "LOCAL_RANK" in os.environ else None,
    )
    if options.threads:
        torch.set_num_threads(options.threads)
    return accelerator


def _process_group(cpu: bool) -> InitProcessGroupKwargs:
    """Processes wait for each other as long as one may look through all images (``--damaged refuse``)."""
    return InitProcessGroupKwargs(**({"backend": "gloo"} if cpu else {}), timeout=timedelta(hours=6))


def seed_all(*numbers: int) -> None:
    """Seed the generators of python, numpy and torch by `numbers`."""
    seed = seed_of(*numbers)
    random.seed(seed)
    numpy.random.seed(seed & 0xFFFFFFFF)
    torch.manual_seed(seed & (2**63 - 1))
