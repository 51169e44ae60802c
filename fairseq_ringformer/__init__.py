"""RingFormer (arXiv 2502.13181): one Transformer block run in a ring, for fairseq and timm.

    fairseq-train DATA --user-dir fairseq_ringformer --arch ringformer_base ...    fairseq finds the models itself
    import fairseq_ringformer.models                                              registers them with fairseq
    import fairseq_ringformer.vision                                              registers the classifiers with timm
    from fairseq_ringformer.modules import Stack                                  the ring itself, in plain torch

This module imports none of fairseq, timm and torch, so that what needs neither works where they are not installed.
"""

__version__ = "0.1.0"
