"""fairseq's side: options, encoder, decoder, and the registered models and architectures.

Importing it registers models, architectures and sub-words with fairseq, and lets torch's safe loader read fairseq's
checkpoints. fairseq does so itself for ``--user-dir``.
"""

from .._fairseq import allow_broadcast_loading, allow_line_blocks, allow_safe_loading, check_fairseq, quiet_import

check_fairseq()
allow_safe_loading()
with quiet_import():
    allow_broadcast_loading()
    allow_line_blocks()
    from . import criteria, language_model, ringformer, wordpiece  # noqa: F401  registers them
