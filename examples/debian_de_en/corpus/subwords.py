"""Cut the text of a split into sub-words, with a model learnt from both languages of the training split."""

import contextlib
import io
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.binarise import DICTIONARY
from recipe.errors import RecipeError

from corpus.split import SPLITS

if TYPE_CHECKING:
    from fairseq_ringformer.text.wordpieces import WordPieces

LANGUAGES = ("de", "en")
SENTENCEPIECE, SUBWORD_NMT, WORDPIECE = "sentencepiece", "subword-nmt", "wordpiece"
# The files of the model, by kind; fairseq's --bpe option spells the second kind with an underscore.
MODEL = {SENTENCEPIECE: "sentencepiece.bpe.model", SUBWORD_NMT: "bpe.codes", WORDPIECE: "tokenizer.json"}
VOCABULARY = "sentencepiece.bpe.vocab"
MODULES = {
    SENTENCEPIECE: ("sentencepiece",),
    SUBWORD_NMT: ("subword_nmt", "sacremoses"),
    WORDPIECE: ("fairseq_ringformer", "tokenizers"),
}
# fairseq's tokenizer before the sub-words, by kind.
TOKENIZER = {SENTENCEPIECE: None, SUBWORD_NMT: "moses", WORDPIECE: None}


def segment(raw: Path, folder: Path, kind: str, size: int, known: "WordPieces | None" = None) -> None:
    """Learn a joined vocabulary of ``size`` from ``raw``/train.* and cut all of ``raw`` with it into ``folder``.

    ``kind`` is ``sentencepiece`` or ``wordpiece`` (on the text as it is) or ``subword-nmt`` (on Moses tokens).
    The model is written into ``folder`` too. The same text and size give the same model. With ``known``, nothing is
    learnt.
    Raises RecipeError if the text is too small for the vocabulary.
    """
    if kind == WORDPIECE:
        encoders = _use_wordpieces(known or _learn_wordpieces(raw, size), folder)
    else:
        learn = {SENTENCEPIECE: _learn_sentencepiece, SUBWORD_NMT: _learn_subword_nmt}[kind]
        encoders = learn(raw, folder, size)
    for split, language in itertools.product(SPLITS, LANGUAGES):
        with (folder / f"{split}.{language}").open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(encoders[language](line) + "\n" for line in _lines(raw / f"{split}.{language}"))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _too_large(size: int, most: object) -> RecipeError:
    return RecipeError(f"--vocab-size {size} is too large for this text: choose at most {most}")


def _too_small(size: int, least: object) -> RecipeError:
    return RecipeError(f"--vocab-size {size} is too small for the characters of this text: choose at least {least}")


def _learn_sentencepiece(raw: Path, folder: Path, size: int) -> dict[str, Callable[[str], str]]:
    import sentencepiece

    # Given file names, the trainer would write them into the model, and a model would tell where it was made.
    model_bytes = io.BytesIO()
    text = (line for language in LANGUAGES for line in _lines(raw / f"train.{language}"))
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=text,
            model_writer=model_bytes,
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            # The text is normalised already; another round would make what the model says differ from it.
            normalization_rule_name="identity",
            max_sentence_length=1 << 16,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        most = re.search(r"set it to a value <= (\d+)", str(error))
        least = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if most:
            raise _too_large(size, most[1]) from None
        if least:
            raise _too_small(size, least[1]) from None
        raise RecipeError(f"sentencepiece cannot learn from {raw}: {error}") from None
    (folder / MODEL[SENTENCEPIECE]).write_bytes(model_bytes.getvalue())
    model = sentencepiece.SentencePieceProcessor(model_proto=model_bytes.getvalue())
    pieces = (f"{model.id_to_piece(number)}\t{model.get_score(number):g}\n" for number in range(len(model)))
    (folder / VOCABULARY).write_text("".join(pieces), encoding="utf-8")

    def encode(line: str) -> str:
        return " ".join(model.encode(line, out_type=str))

    return dict.fromkeys(LANGUAGES, encode)


def _learn_subword_nmt(raw: Path, folder: Path, size: int) -> dict[str, Callable[[str], str]]:
    import sacremoses
    from subword_nmt.apply_bpe import BPE
    from subword_nmt.learn_bpe import learn_bpe

    # As fairseq's "--tokenizer moses" does it, so that the text of a user meets the same tokens.
    tokenizers = {language: sacremoses.MosesTokenizer(lang=language) for language in LANGUAGES}

    def tokens(language: str, line: str) -> str:
        return tokenizers[language].tokenize(line, aggressive_dash_splits=True, escape=True, return_str=True)

    text = [tokens(language, line) for language in LANGUAGES for line in _lines(raw / f"train.{language}")]
    words = {word for line in text for word in line.split()}
    # A character inside a word and the same one at its end are two symbols; the merges add one each.
    characters = len({c for word in words for c in word[:-1]}) + len({word[-1] for word in words})
    if size <= characters:
        raise _too_small(size, characters + 1)
    codes = io.StringIO()
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar and a report of every merge
        learn_bpe(text, codes, size - characters)
    merges = codes.getvalue().count("\n") - 1
    if merges < size - characters:
        raise _too_large(size, characters + merges)
    (folder / MODEL[SUBWORD_NMT]).write_text(codes.getvalue(), encoding="utf-8")
    bpe = BPE(io.StringIO(codes.getvalue()))
    return {
        language: lambda line, language=language: bpe.process_line(tokens(language, line)) for language in LANGUAGES
    }


def _learn_wordpieces(raw: Path, size: int) -> "WordPieces":
    from fairseq_ringformer.text.wordpieces import WordPieces

    pieces = WordPieces.train([raw / f"train.{language}" for language in LANGUAGES], size)
    if len(pieces) < size:
        raise _too_large(size, len(pieces))
    if len(pieces) > size:
        raise _too_small(size, len(pieces))
    return pieces


def _use_wordpieces(pieces: "WordPieces", folder: Path) -> dict[str, Callable[[str], str]]:
    pieces.save(folder / MODEL[WORDPIECE])
    pieces.write_dictionary(folder / DICTIONARY)
    return dict.fromkeys(LANGUAGES, pieces.encode)
