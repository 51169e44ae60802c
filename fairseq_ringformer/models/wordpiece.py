"""fairseq's ``--bpe wordpiece``: WordPiece vocabularies such as BERT's, with text that comes back as it was."""

import logging
from dataclasses import dataclass, field
from typing import Optional

from fairseq.data.encoders import register_bpe
from fairseq.dataclass import FairseqDataclass

from ..text.wordpieces import CONTINUATION, WordPieces

logger = logging.getLogger(__name__)


@dataclass
class WordPieceConfig(FairseqDataclass):
    wordpiece_model: Optional[str] = field(
        default=None,
        metadata={"help": "vocab.txt, tokenizer.json, a folder with one, or owner/repository on Hugging Face's hub"},
    )


@register_bpe("wordpiece", dataclass=WordPieceConfig)
class WordPieceBPE:
    """See :class:`~fairseq_ringformer.text.wordpieces.WordPieces`.

    Raises:
        ValueError: if the vocabulary is not named, or cannot be had.
    """

    def __init__(self, cfg):
        if cfg.wordpiece_model is None:
            raise ValueError("--bpe wordpiece needs --wordpiece-model: a vocabulary's file, or its name on the hub")
        self.pieces = WordPieces.load(cfg.wordpiece_model)
        if not self.pieces.lossless:
            logger.warning(f"{cfg.wordpiece_model}: {WordPieces.LOSSY}")

    def encode(self, x: str) -> str:
        return self.pieces.encode(x)

    def decode(self, x: str) -> str:
        return self.pieces.decode(x)

    def is_beginning_of_word(self, x: str) -> bool:
        return not x.startswith(CONTINUATION)
