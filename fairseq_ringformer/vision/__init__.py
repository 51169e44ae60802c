"""Image classification with timm (arXiv 2502.13181, section 4.2).

    import timm, fairseq_ringformer.vision
    model = timm.create_model("vit_ring_728_l6_patch16_224", num_classes=100)

Importing it registers the classifiers with timm.
"""

from ..extras import named

with named():
    from . import registry  # noqa: F401  registers them
    from .classifier import RingClassifier

__all__ = ["RingClassifier"]
