"""How raw text becomes the sub-words that a model was trained with, and back."""

import contextlib
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .. import extras
from ..errors import UserError
from .normalisation import Normalisation

BOS, PAD, EOS, UNK = SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # the first symbols of every dictionary of fairseq
# fairseq's names of the sub-word kinds, and what it calls the file of each.
FILES = {"sentencepiece": "sentencepiece_model", "subword_nmt": "bpe_codes", "wordpiece": "wordpiece_model"}
SAVED_AS = {"sentencepiece": "sentencepiece.model", "subword_nmt": "subword_nmt.codes", "wordpiece": "tokenizer.json"}
MOST_WORDS = 100_000  # that subword-nmt, which forgets none by itself, keeps the sub-words of
LINE_BREAKS = re.compile(r"[\r\n]+")
FLAGS = {kind: "--" + name.replace("_", "-") for kind, name in FILES.items()}


@dataclass(frozen=True)
class Codec:
    """Both ways between raw text and the words of a dictionary, separated by spaces."""

    encode: Callable[[str], str]
    decode: Callable[[str], str]


@dataclass(frozen=True)
class Subwords:
    """A kind of sub-words.

    Attributes:
        bpe: ``sentencepiece``, ``subword_nmt``, ``wordpiece`` or None for plain words.
        model: the file of the sub-word model; of WordPieces, whatever ``WordPieces.load`` takes.
        tokenizer: fairseq's name of what runs before the sub-words, ``moses`` or ``space``; None for nothing.
        normalisation: what was done to the training text before all of this; None for nothing.
    """

    bpe: str | None
    model: str | None
    tokenizer: str | None
    normalisation: Normalisation | None = None

    def save(self, folder: str) -> dict[str, Any]:
        """Write the sub-word model, if there is one, into `folder`; what a ``recipe.json`` there says of all this.

        Raises:
            UserError: if WordPieces cannot be had.
            OSError: if it cannot be written.
        """
        name = None if self.bpe is None else SAVED_AS[self.bpe]
        if name is not None:
            path = os.path.join(folder, name)
            if self.bpe == "wordpiece":
                from .wordpieces import WordPieces

                WordPieces.load(self.model).save(path)
            else:
                shutil.copyfile(self.model, path)
        normalisation = None if self.normalisation is None else self.normalisation.to_json()
        return dict(bpe=self.bpe, bpe_model=name, tokenizer=self.tokenizer, normalisation=normalisation)


def check_kind(bpe: str) -> str:
    """`bpe`; UserError unless it is a kind of sub-words that is known here."""
    if bpe not in tuple(FILES):  # of a recipe: anything that JSON holds
        raise UserError(f"unknown kind of sub-words {bpe!r}; known: {', '.join(FILES)}")
    return bpe


def build_codec(subwords: Subwords, source_lang: str, target_lang: str) -> Codec:
    """What fairseq's ``--tokenizer`` and ``--bpe`` do for `subwords`, without fairseq, behind its normalisation.

    Line breaks, as byte-wise sub-words may make some, become blanks, and pieces that are bytes become characters.

    Raises:
        UserError: if the model is damaged or cannot be had, a package lacks, or the tokenizer is not known here.
    """
    steps = []
    with extras.named():
        if subwords.tokenizer is not None:
            steps.append(_tokenizer(subwords.tokenizer, source_lang, target_lang))
        if subwords.bpe == "wordpiece":
            from .wordpieces import WordPieces

            steps.append(WordPieces.load(subwords.model))
        elif subwords.bpe:
            steps.append({"sentencepiece": _sentencepiece, "subword_nmt": _subword_nmt}[subwords.bpe](subwords.model))

    def encode(text: str) -> str:
        text = LINE_BREAKS.sub(" ", text)
        if subwords.normalisation is not None:
            text = subwords.normalisation(text)
        for step in steps:
            text = step.encode(text)
        return text

    def decode(text: str) -> str:
        for step in reversed(steps):
            text = step.decode(text)
        return LINE_BREAKS.sub(" ", text)

    return Codec(encode, decode)


@contextlib.contextmanager
def _readable(path: str, kind: str) -> Iterator[None]:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    except (Exception, SystemExit):  # subword-nmt exits by itself
        raise UserError(f"{path}: not a model of {kind}, or a damaged one") from None


def _sentencepiece(path: str) -> Codec:
    import sentencepiece

    with _readable(path, "sentencepiece"):
        model = sentencepiece.SentencePieceProcessor(model_file=path)
    return Codec(
        lambda text: " ".join(model.encode(text, out_type=str)), lambda words: model.decode(words.split(" ")).strip()
    )


def _subword_nmt(path: str) -> Codec:
    from subword_nmt.apply_bpe import BPE

    with _readable(path, "subword_nmt"), open(path, encoding="utf-8") as codes:
        model = BPE(codes)

    def encode(text: str) -> str:
        if len(model.cache) > MOST_WORDS:
            model.cache.clear()
        return model.process_line(text)

    return Codec(encode, lambda words: f"{words} ".replace("@@ ", "").rstrip())


def _tokenizer(name: str, source_lang: str, target_lang: str) -> Codec:
    if name == "space":
        return Codec(lambda text: re.sub(r"\s+", " ", text), lambda words: words)
    if name != "moses":
        raise UserError(f"unknown tokenizer {name!r} before the sub-words; known: moses, space")
    from sacremoses import MosesDetokenizer, MosesTokenizer

    tokenizer, detokenizer = MosesTokenizer(source_lang), MosesDetokenizer(target_lang)
    return Codec(
        lambda text: tokenizer.tokenize(text, aggressive_dash_splits=True, return_str=True, escape=True),
        lambda words: detokenizer.detokenize(words.split()),
    )
