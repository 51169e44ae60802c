"""Cut the text of a split into sub-words, with a model learnt from both languages of the training split."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.binarise import DICTIONARY
from recipe.subwords import learn_sentencepiece, learn_subword_nmt, too_large, too_small

from corpus.split import SPLITS
from fairseq_ringformer.files import read_lines
from fairseq_ringformer.text.subwords import Subwords, build_codec

if TYPE_CHECKING:
    from fairseq_ringformer.text.wordpieces import WordPieces

SENTENCEPIECE, SUBWORD_NMT, WORDPIECE = "sentencepiece", "subword-nmt", "wordpiece"
# The files of the model, by kind; fairseq's --bpe option spells the second kind with an underscore.
MODEL = {SENTENCEPIECE: "sentencepiece.bpe.model", SUBWORD_NMT: "bpe.codes", WORDPIECE: "tokenizer.json"}
VOCABULARY = "sentencepiece.bpe.vocab"
MODULES = {SENTENCEPIECE: ("sentencepiece",), SUBWORD_NMT: ("subword_nmt", "sacremoses"), WORDPIECE: ("tokenizers",)}
# fairseq's tokenizer before the sub-words, by kind.
TOKENIZER = {SENTENCEPIECE: None, SUBWORD_NMT: "moses", WORDPIECE: None}


def segment(
    raw: Path, folder: Path, languages: tuple[str, str], kind: str, size: int, known: "WordPieces | None" = None
) -> None:
    """Learn a joined vocabulary of ``size`` from ``raw``/train.* and cut all of ``raw`` with it into ``folder``.

    ``kind`` is ``sentencepiece`` or ``wordpiece`` (on the text as it is) or ``subword-nmt`` (on Moses tokens).
    The model is written into ``folder`` too. The same text and size give the same model. With ``known``, nothing is
    learnt.
    Raises UserError if the text is too small for the vocabulary.
    """
    model = folder / MODEL[kind]
    train = {language: raw / f"train.{language}" for language in languages}
    if kind == WORDPIECE:
        pieces = known or _learn_wordpieces(list(train.values()), size)
        pieces.save(model)
        pieces.write_dictionary(folder / DICTIONARY)
    elif kind == SENTENCEPIECE:
        model.write_bytes(learn_sentencepiece((line for path in train.values() for line in read_lines(path)), size))
        _write_vocabulary(model, folder / VOCABULARY)
    else:
        words: Counter = Counter()
        for language, path in train.items():
            tokenize = build_codec(Subwords(None, None, TOKENIZER[kind]), language, language).encode
            words.update(word for line in read_lines(path) for word in tokenize(line).split())
        model.write_text(learn_subword_nmt(words, size), encoding="utf-8")
    subwords = Subwords(kind.replace("-", "_"), str(model), TOKENIZER[kind])
    for language in languages:
        encode = build_codec(subwords, language, language).encode
        for split in SPLITS:
            with (folder / f"{split}.{language}").open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(encode(line) + "\n" for line in read_lines(raw / f"{split}.{language}"))


def _write_vocabulary(model: Path, path: Path) -> None:
    """The pieces of a model of sentencepiece for people to read, as its own trainer writes them beside it."""
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    lines = (f"{pieces.id_to_piece(number)}\t{pieces.get_score(number):g}\n" for number in range(len(pieces)))
    path.write_text("".join(lines), encoding="utf-8")


def _learn_wordpieces(paths: list[Path], size: int) -> "WordPieces":
    from fairseq_ringformer.text.wordpieces import WordPieces

    pieces = WordPieces.train(paths, size)
    if len(pieces) < size:
        raise too_large(size, len(pieces))
    if len(pieces) > size:
        raise too_small(size, len(pieces))
    return pieces
