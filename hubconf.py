"""Entry points of torch.hub, for a clone: ``torch.hub.load(CLONE, "translator", source="local", path="averaged.pt")``."""

import os
from typing import Any

dependencies = ["torch"]


def translator(path: str, **options: Any):
    """fairseq's hub interface of a trained translation model: ``translator.translate("Guten Morgen!", beam=5)``.

    Args:
        path: of a checkpoint that carries its dictionaries and sub-words, as trainings and ringformer average write it.
        options: of ``RingFormerModel.from_pretrained``: ``data_name_or_path``, ``bpe`` ..., where it carries none.
    """
    from fairseq_ringformer import RingFormerModel

    folder, name = os.path.split(os.path.abspath(path))
    return RingFormerModel.from_pretrained(folder, name, **options)


def classifier(name: str = "vit_ring_tiny_patch4_28", **options: Any):
    """An image classifier of this package by its name in timm; `options`: of ``timm.create_model``."""
    import timm

    import fairseq_ringformer.vision  # noqa: F401  registers them

    return timm.create_model(name, **options)
