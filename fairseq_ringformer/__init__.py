"""RingFormer (arXiv 2502.13181) for fairseq: ``fairseq-train --user-dir fairseq_ringformer --arch ringformer_base``.

Importing the package registers its models with fairseq, where fairseq is installed, and lets torch's safe loader read
fairseq's checkpoints.
"""

from ._fairseq import allow_safe_loading, check_fairseq, quiet_import

__version__ = "0.1.0"

if check_fairseq(required=False):
    allow_safe_loading()
    with quiet_import():
        from .models import ringformer  # noqa: F401  registers the models
