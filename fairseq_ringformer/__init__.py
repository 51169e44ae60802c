"""RingFormer (arXiv 2502.13181) for fairseq: ``fairseq-train --user-dir fairseq_ringformer --arch ringformer_base``.

Whoever imports this package and fairseq, in either order, has its models and sub-words registered with fairseq, and torch's safe
loader reads fairseq's checkpoints. The package itself imports neither, so that what needs neither starts at once.
"""

from ._fairseq import allow_broadcast_loading, allow_safe_loading, check_fairseq, quiet_import, when_imported

__version__ = "0.1.0"


def _register_models() -> None:
    allow_broadcast_loading()
    with quiet_import():
        from .models import ringformer, wordpiece  # noqa: F401  registers them


when_imported("torch", allow_safe_loading)
if check_fairseq(required=False):
    when_imported("fairseq", _register_models, around=quiet_import)
