"""Text: sub-words, prepared data, and translating it with either engine, as a library.

Two floors: sub-words, WordPieces, prepared data, the stream of text and scoring know nothing of models; the engines
stand on models and export, and the translator on them. Only :mod:`.fairseq_engine` and what exports import torch and
fairseq.
"""

from .translator import Translator

__all__ = ["Translator"]
