"""Image classification with timm (arXiv 2502.13181, section 4.2).

    import timm, fairseq_ringformer.vision
    model = timm.create_model("vit_ring_728_l6_patch16_224", num_classes=100)

Whoever imports this package and timm, in either order, has its models registered with timm. The package itself imports
neither timm nor torch, so that what needs neither starts at once.
"""

from typing import Any

from .._fairseq import when_imported

__all__ = ["RingClassifier"]


def __getattr__(name: str) -> Any:
    if name != "RingClassifier":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from .classifier import RingClassifier

    return RingClassifier


def _register_models() -> None:
    from . import registry  # noqa: F401  registers them


when_imported("timm", _register_models)
