"""RingFormer (arXiv 2502.13181): one Transformer block run in a ring, for fairseq and timm.

    from fairseq_ringformer import RingFormerModel          a translator: RingFormerModel.from_pretrained(...)
    from fairseq_ringformer import RingClassifier           the image classifier
    import fairseq_ringformer.models                        registers the models with fairseq
    import fairseq_ringformer.vision                        registers the classifiers with timm
    from fairseq_ringformer.modules import Stack            the ring itself, in plain torch
    fairseq-train DATA --user-dir fairseq_ringformer ...    fairseq finds the models itself

An import stands for a ``user_dir``: after it, fairseq knows the models. This module itself imports none of fairseq, timm and
torch, so that what needs neither works where they are not installed.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# Imported when they are asked for.
_ROOMS = {
    "RingFormerModel": "models.ringformer",
    "UniversalTransformerModel": "models.ringformer",
    "OneWideFFNModel": "models.ringformer",
    "VanillaTransformerModel": "models.ringformer",
    "RingFormerLanguageModel": "models.language_model",
    "RingClassifier": "vision.classifier",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
