"""Image classification with timm (arXiv 2502.13181, section 4.2): importing this registers the models with timm.

    import timm, fairseq_ringformer.vision
    model = timm.create_model("vit_ring_728_l6_patch16_224", num_classes=100)
"""

import importlib.util

if importlib.util.find_spec("timm") is None:
    raise ImportError("timm is not installed: pip install 'fairseq-ringformer[vision]'")

from . import registry  # noqa: E402,F401  registers the models
from .classifier import RingClassifier  # noqa: E402

__all__ = ["RingClassifier"]
