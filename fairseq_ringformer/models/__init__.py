"""fairseq's side: options, encoder, decoder, and the registered models and architectures."""

from .._fairseq import quiet_import

# First of all: once it is imported, fairseq has the models of this package registered, whichever module was asked for.
with quiet_import():
    import fairseq  # noqa: F401
