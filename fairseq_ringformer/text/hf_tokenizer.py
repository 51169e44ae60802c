"""Sub-words as a tokenizer of Hugging Face: from raw text to ids and back, by one tokenizer.json and without this package.

Ids are those of the target dictionary. Behind them follow the source's symbols that it lacks, and then pieces that the
sub-word model may cut and neither dictionary has: to the model, those are the unknown symbol.
"""

import dataclasses
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from ..errors import UserError
from .normalisation import Normalisation
from .subwords import BOS, EOS, FLAGS, PAD, SPECIAL, UNK, Subwords

SPACE = "\u2581"  # as sentencepiece writes it
LINE_BREAKS = Regex("[\\r\\n]+")
WORD_END, CONTINUED = "</w>", "@@"
# Python's idea of white space, which `str.split` has.
BLANKS = "".join(chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace())


@dataclass(frozen=True)
class Cut:
    """How text is cut.

    Attributes:
        pieces: that may come out, in any order.
        model: of tokenizers, made for the ids of all symbols.
        normalizers, pre_tokenizer, decoder: of tokenizers, before and behind the model.
        name: of a dictionary's symbol, in the model.
    """

    pieces: Sequence[str]
    model: Callable[[dict[str, int]], models.Model]
    normalizers: list[Any] = field(default_factory=list)
    pre_tokenizer: Any = None
    decoder: Any = None
    name: Callable[[str], str] = str


def build_tokenizer(
    subwords: Subwords, source: Sequence[str], target: Sequence[str], longest: int
) -> tuple[PreTrainedTokenizerFast, list[int]]:
    """The tokenizer of a translator.

    Args:
        subwords: how raw text was cut.
        source, target: symbols of the dictionaries, in order.
        longest: most tokens of a text, its end counted; more are cut where truncation is asked for.

    Returns:
        the tokenizer, and of each of its ids the symbol of the source dictionary that it is to the encoder.

    Raises:
        UserError: if tokenizers cannot cut text so, saying what it lacks.
    """
    for symbols in (source, target):
        if tuple(symbols[: len(SPECIAL)]) != SPECIAL:
            raise UserError(
                f"a dictionary begins with {' '.join(symbols[: len(SPECIAL)])}, not with {' '.join(SPECIAL)}"
            )
    if subwords.tokenizer not in (None, "space"):
        raise UserError(
            f"Hugging Face's tokenizers cannot do what --tokenizer {subwords.tokenizer} does before the sub-words: "
            "export --to ctranslate2"
        )
    cut = _cut(subwords)
    symbols = list(dict.fromkeys((*target, *source, *cut.pieces)))
    known = {symbol: number for number, symbol in enumerate(source)}
    rows = [known.get(symbol, known[UNK]) for symbol in symbols]
    tokenizer = Tokenizer(cut.model({cut.name(symbol): number for number, symbol in enumerate(symbols)}))
    spaces = [] if subwords.tokenizer is None else [_replace(f"{_class(BLANKS)}+", " ")]
    before = [normalizers.Replace(LINE_BREAKS, " "), *_normalizers(subwords.normalisation), *spaces, *cut.normalizers]
    tokenizer.normalizer = normalizers.Sequence(before)
    if cut.pre_tokenizer is not None:
        tokenizer.pre_tokenizer = cut.pre_tokenizer
    if cut.decoder is not None:
        tokenizer.decoder = cut.decoder
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, symbols.index(EOS))]
    )
    found = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        pad_token=PAD,
        eos_token=EOS,
        # No unk_token: it is no special one, and so not left out of translations, as fairseq does not.
        model_max_length=longest,
        clean_up_tokenization_spaces=False,
        # Text that looks like a special symbol is not one.
        split_special_tokens=True,
    )
    return found, rows


def _cut(subwords: Subwords) -> Cut:
    if subwords.bpe is None:
        return _words()
    if subwords.bpe == "sentencepiece":
        return _sentencepiece(subwords.model)
    if subwords.bpe == "subword_nmt":
        return _subword_nmt(subwords.model)
    raise UserError(
        f"Hugging Face's tokenizers cannot write the marker of blanks that {FLAGS[subwords.bpe]} cuts text with here: "
        "export --to ctranslate2"
    )


def _words() -> Cut:
    blank, special = _class(BLANKS), "|".join((BOS, PAD, EOS))
    return Cut(
        [],
        lambda ids: models.WordLevel(ids, unk_token=UNK),
        # Words that look like special symbols are unknown.
        [_replace(f"(?<=\\A|{blank})(?:{special})(?=\\z|{blank})", UNK)],
        pre_tokenizers.Split(Regex(f"{blank}+"), "removed"),
    )


def _subword_nmt(path: str) -> Cut:
    """Of text in which no white space but blanks stands; other is an unknown piece, where fairseq may pass over it."""
    with open(path, encoding="utf-8") as stream:
        version, *lines = stream.read().rstrip("\n").split("\n")
    if version != "#version: 0.2":
        raise UserError(f"{path}: no merges of subword-nmt 0.2 or newer: its first line is not '#version: 0.2'")
    merges: list[Any] = list(dict.fromkeys(tuple(line.split(" ")) for line in lines))
    names = dict.fromkeys(part for left, right in merges for part in (left, right, left + right))

    def name(symbol: str) -> str:
        if symbol in (BOS, PAD, EOS):
            return symbol
        return symbol.removesuffix(CONTINUED) if symbol.endswith(CONTINUED) else symbol + WORD_END

    def symbol(name: str) -> str:
        return name.removesuffix(WORD_END) if name.endswith(WORD_END) else name + CONTINUED

    return Cut(
        [symbol(part) for part in names],
        lambda ids: models.BPE(ids, merges, unk_token=name(UNK), end_of_word_suffix=WORD_END),
        pre_tokenizer=pre_tokenizers.Split(" ", "removed"),
        decoder=decoders.BPEDecoder(WORD_END),
        name=name,
    )


def _sentencepiece(path: str) -> Cut:
    """Of normalised text, as :func:`_subword_nmt`: a piece that is white space is unknown here, where fairseq passes over it."""
    from google.protobuf.message import DecodeError
    from sentencepiece.sentencepiece_model_pb2 import ModelProto, TrainerSpec  # type: ignore[attr-defined]

    try:
        with open(path, "rb") as stream:
            proto = ModelProto.FromString(stream.read())
    except DecodeError:
        raise UserError(f"{path}: not a model of sentencepiece, or a damaged one") from None
    trained, spec, kinds = proto.trainer_spec, proto.normalizer_spec, ModelProto.SentencePiece
    for what, present in (
        ("user-defined symbols", any(piece.type == kinds.USER_DEFINED for piece in proto.pieces)),
        ("pieces that are not used", any(piece.type == kinds.UNUSED for piece in proto.pieces)),
        ("white space at the end of words", trained.treat_whitespace_as_suffix or not spec.escape_whitespaces),
        ("words or characters", trained.model_type not in (TrainerSpec.BPE, TrainerSpec.UNIGRAM)),
    ):
        if present:
            raise UserError(
                f"{path}: Hugging Face's tokenizers have no sentencepiece with {what}: export --to ctranslate2"
            )
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type in (kinds.NORMAL, kinds.BYTE)}
    build = _merging if trained.model_type == TrainerSpec.BPE else _likeliest
    steps: list[Any] = [normalizers.Precompiled(spec.precompiled_charsmap)] if spec.precompiled_charsmap else []
    if spec.remove_extra_whitespaces:
        # At the end sentencepiece takes away what white space has become, too.
        steps += [_replace("  +", " "), _replace("\\A +", ""), _replace(f"[ {SPACE}]+\\z", "")]
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    steps.append(normalizers.Replace(" ", SPACE))
    # Word by word is quicker, where no piece is of more than one.
    apart = SPACE in scores and not any(SPACE in piece[1:] for piece in scores)
    blank = _class(BLANKS)
    unknown = next((piece.piece for piece in proto.pieces if piece.type == kinds.UNKNOWN), UNK)
    return Cut(
        list(scores),
        lambda ids: build(ids, scores, trained.byte_fallback),
        steps,
        pre_tokenizers.Split(SPACE, "merged_with_next") if apart else None,
        decoders.Sequence(
            [
                *([decoders.Replace(UNK, trained.unk_surface)] if unknown == UNK else []),
                decoders.Replace(SPACE, " "),
                *([decoders.ByteFallback()] if trained.byte_fallback else []),
                decoders.Fuse(),
                decoders.Replace(LINE_BREAKS, " "),
                decoders.Replace(Regex(f"\\A{blank}+|{blank}+\\z"), ""),
            ]
        ),
    )


def _merging(ids: dict[str, int], scores: dict[str, float], byte_fallback: bool) -> models.Model:
    """sentencepiece's BPE: of two neighbours that are a piece together, those of the best score are joined first."""
    merges = []
    for piece in sorted(scores, key=lambda piece: -scores[piece]):
        halves = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        merges += [(left, right) for left, right in halves if left in scores and right in scores]
    return models.BPE(ids, merges, unk_token=UNK, fuse_unk=True, byte_fallback=byte_fallback)


def _likeliest(ids: dict[str, int], scores: dict[str, float], byte_fallback: bool) -> models.Model:
    """sentencepiece's unigrams. What is no piece is too seldom to be chosen, except where its characters are unknown."""
    seldom = min(scores.values()) - 100
    pieces = [(symbol, scores.get(symbol, seldom)) for symbol in sorted(ids, key=ids.get)]
    return models.Unigram(pieces, ids[UNK], byte_fallback)


def _normalizers(normalisation: Normalisation | None) -> list[Any]:
    """The steps of `normalisation`, which replaces each character by itself, whatever stands beside it."""
    if normalisation is None:
        return []
    steps = [] if normalisation.form is None else [getattr(normalizers, normalisation.form)()]
    one = dataclasses.replace(normalisation, form=None, spaces=False)
    becomes = defaultdict(list)
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        # What is surrogate, private or no character stays as it is.
        if unicodedata.category(character) not in ("Cs", "Co", "Cn") and one(character) != character:
            becomes[one(character)].append(character)
    if any(one(new) != new for new in becomes):  # one step would change what another has made
        raise UserError(
            "Hugging Face's tokenizers cannot normalise text as its recipe says, where a character takes the place of "
            "one that is replaced itself: export --to ctranslate2, or --no-normalise"
        )
    steps += [_replace(_class(characters), new) for new, characters in becomes.items()]
    if normalisation.spaces:
        steps += [_replace(f"{_class(BLANKS)}+", " "), _replace("\\A +| +\\z", "")]
    return steps


def _replace(pattern: str, new: str) -> normalizers.Replace:
    return normalizers.Replace(Regex(pattern), new)


def _class(characters: Sequence[str]) -> str:
    """The regular expression of one of `characters`."""
    return "[" + "".join(f"\\x{{{ord(character):x}}}" for character in characters) + "]"
