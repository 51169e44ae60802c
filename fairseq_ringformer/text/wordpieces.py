"""WordPiece vocabularies (BERT's sub-words) between raw text and fairseq's words, over Hugging Face's tokenizers.

Pieces are those of Hugging Face's BERT tokenizer, which does not say whether a blank stood before a punctuation mark.
:mod:`.blanks` guesses that by rule; where it would guess wrongly, `encode` writes an otherwise unused entry of the
vocabulary, the marker, between the two words, and `decode` flips the blank there. So nothing is lost but what BERT's
normaliser takes away (control and format characters, the width of white space) and what the vocabulary cannot spell.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from .. import extras
from ..errors import UserError, about, one_line
from ..files import write_text
from .blanks import guess_blanks

TOKENIZER, VOCABULARY, CONFIG = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
CONTINUATION = "##"
UNKNOWN = "<unk>"
# fairseq's own symbols, and BERT's entries that stand for them.
SPECIAL = {"<s>": "[CLS]", "<pad>": "[PAD]", "</s>": "[SEP]", UNKNOWN: "[UNK]"}
MASKS = ("[MASK]", "<mask>")
UNUSED = re.compile(r"\[unused\d+\]")
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
# White space as BERT's normaliser sees it. It takes other control characters away, and joins what stood beside them.
BLANK = re.compile("[\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
BATCH = 10_000


class WordPieces:
    """A WordPiece vocabulary.

    Args:
        description: of the tokenizer, as in tokenizer.json.

    Attributes:
        marker: the entry that flips a blank: [MASK], or else the first [unusedN]. None in a vocabulary that has
            neither: then blanks around punctuation come back by rule alone.

    Raises:
        UserError: if it is no WordPiece tokenizer, or not BERT's kind.
    """

    LOSSY = "no entry [MASK] or [unusedN] to note blanks with: blanks around punctuation are guessed by rule"

    def __init__(self, description: dict[str, Any]):
        from tokenizers import Tokenizer

        check_bert(description)
        self._description = description
        # Without added tokens text that looks like one, such as "[MASK]", is text.
        bare = {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        try:
            self._tokenizer = Tokenizer.from_str(json.dumps({**description, **bare}))
        except Exception as error:  # tokenizers raises bare Exceptions
            raise UserError(f"not a tokenizer that tokenizers can read ({error})") from None
        vocabulary = description["model"]["vocab"]
        self._symbols = sorted(vocabulary, key=vocabulary.get)
        self._unknown = description["model"]["unk_token"]
        unused = (symbol for symbol in self._symbols if UNUSED.fullmatch(symbol))
        self.marker: str | None = next((mask for mask in MASKS if mask in vocabulary), next(unused, None))

    @classmethod
    def load(cls, name: str) -> "WordPieces":
        """The vocabulary `name`: a vocab.txt, a tokenizer.json, a folder with one, or owner/repository on the hub.

        A vocab.txt is cased unless the tokenizer_config.json beside it says ``"do_lower_case": true``. The hub is asked
        only for names that are no path here; a copy in its cache (HF_HOME) does without network.

        Raises:
            UserError: if there is none, with what to do.
        """
        with extras.named():
            path = _find(os.fspath(name))
            try:
                with about(path):
                    return cls(_read(path))
            except OSError as error:
                raise UserError(one_line(error)) from None

    @classmethod
    def train(cls, paths: Sequence[str], size: int) -> "WordPieces":
        """A cased vocabulary of `size` entries learnt from text files, which are read twice.

        It is smaller if the text does not give as many, and larger if its characters alone are more. The same text
        gives the same vocabulary.
        """
        from tokenizers import Tokenizer, trainers

        first = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokenizer = Tokenizer.from_str(json.dumps(_describe(dict(zip(first, range(len(first)))), {})))
        continued = set()
        for line in _lines(paths):
            words = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(line))
            for word, _ in words:
                continued.update(word[1:])
        # Left to itself the trainer numbers continuations by chance, and breaks ties by their numbers.
        first += sorted(CONTINUATION + character for character in continued)
        tokenizer.train_from_iterator(
            _lines(paths),
            trainers.WordPieceTrainer(
                vocab_size=size,
                min_frequency=2,
                special_tokens=first,
                continuing_subword_prefix=CONTINUATION,
                show_progress=False,
            ),
        )
        return cls(_describe(tokenizer.get_vocab(), {}))

    def __len__(self) -> int:
        return len(self._symbols)

    @property
    def lossless(self) -> bool:
        """Whether `decode` brings back the blanks that `encode` saw."""
        return self.marker is not None

    def encode(self, text: str) -> str:
        """The pieces of `text`, separated by blanks; [UNK] (fairseq's <unk>) where the vocabulary cannot spell it."""
        return self._marked(text, self._tokenizer.encode(text, add_special_tokens=False))

    def encode_lines(self, lines: Iterable[str]) -> Iterator[str]:
        """As :meth:`encode`, for many lines in parallel (TOKENIZERS_PARALLELISM and RAYON_NUM_THREADS say how)."""
        lines = iter(lines)
        while batch := list(islice(lines, BATCH)):
            encoded = self._tokenizer.encode_batch(batch, add_special_tokens=False)
            yield from map(self._marked, batch, encoded)

    def decode(self, pieces: str) -> str:
        """Natural text of `pieces` that are separated by blanks. A symbol for an unknown word becomes <unk>."""
        words: list[str] = []
        flips: list[bool] = []
        flip = False
        for piece in pieces.split():
            if piece == self.marker:
                flip = not flip
                continue
            if piece.startswith(CONTINUATION) and len(piece) > len(CONTINUATION):
                piece = piece[len(CONTINUATION) :]
                if words:
                    words[-1] += piece
                    flip = False
                    continue
            words.append(UNKNOWN if piece == self._unknown else piece)
            flips.append(flip)
            flip = False
        text = []
        for word, blank, flip in zip(words, guess_blanks(words), flips):
            if blank != flip:
                text.append(" ")
            text.append(word)
        return "".join(text).strip()

    def _marked(self, text: str, encoding: Any) -> str:
        pieces = encoding.tokens
        if self.marker is None or len(pieces) < 2:
            return " ".join(pieces)
        words: list[str] = []
        gaps: list[tuple[int, int]] = []  # before each word, in characters of the text
        starts: list[int] = []  # of each word, in pieces
        end = 0
        for number, (piece, offsets) in enumerate(zip(pieces, encoding.offsets)):
            if piece.startswith(CONTINUATION):
                words[-1] += piece[len(CONTINUATION) :]
            else:
                words.append(piece)
                gaps.append((end, offsets[0]))
                starts.append(number)
            end = offsets[1]
        marked = [
            number
            for number, guess, (left, right) in zip(starts, guess_blanks(words), gaps)
            if number and guess != (left < right and bool(BLANK.search(text, left, right)))
        ]
        for number in reversed(marked):
            pieces.insert(number, self.marker)
        return " ".join(pieces)

    def dictionary(self) -> list[str]:
        """The symbols of the vocabulary besides fairseq's own four, in its order.

        [CLS], [PAD], [SEP] and [UNK] stand for <s>, <pad>, </s> and <unk>, so that fairseq's dictionary of these
        symbols has as many entries as a vocabulary that has those four.
        """
        present = set(self._symbols)
        stand_ins = (bert for fairseq, bert in SPECIAL.items() if fairseq not in present)
        left_out = {self._unknown, *SPECIAL, *stand_ins}
        return [symbol for symbol in self._symbols if symbol not in left_out]

    def write_dictionary(self, path: str) -> None:
        """Write fairseq's dict.txt (for ``fairseq-preprocess --srcdict``)."""
        write_text(path, "".join(f"{symbol} 1\n" for symbol in self.dictionary()))

    def to_json(self) -> str:
        """The whole tokenizer as the content of a tokenizer.json."""
        return json.dumps(self._description, ensure_ascii=False, indent=1) + "\n"

    def save(self, path: str) -> None:
        """Write a tokenizer.json, which `load` reads again."""
        write_text(path, self.to_json())


def _lines(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        with open(path, encoding="utf-8", newline="\n") as stream:
            yield from stream


def check_bert(description: dict[str, Any]) -> None:
    """UserError unless `description` is that of a BERT tokenizer."""
    model = description.get("model") if isinstance(description, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), (dict, list)):
        raise UserError("not a tokenizer.json of tokenizers")
    if model.get("type", "WordPiece") != "WordPiece":
        raise UserError(f"a tokenizer of kind {model['type']}, not WordPiece")
    prefix = model.get("continuing_subword_prefix")
    if prefix != CONTINUATION:
        raise UserError(f"continues words with {prefix!r}, not with {CONTINUATION!r} as BERT's vocabularies do")
    words = description.get("pre_tokenizer")
    if not isinstance(words, dict) or words.get("type") != "BertPreTokenizer":
        raise UserError("does not cut text into words as BERT does (its pre_tokenizer is no BertPreTokenizer)")
    if model.get("unk_token") not in model["vocab"]:
        raise UserError(f"its vocabulary lacks {model.get('unk_token')}, the entry for what it cannot spell")


def _read(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8", newline="\n") as stream:
        try:
            content = stream.read()
        except UnicodeDecodeError:
            raise UserError("not a vocabulary: not UTF-8 text") from None
    if path.endswith(".json") or content.startswith("{\n"):
        try:
            return json.loads(content)
        except ValueError as error:
            raise UserError(f"not a {TOKENIZER}, or a damaged one ({error})") from None
    lines = (line.rstrip("\r") for line in content.removesuffix("\n").split("\n"))
    vocabulary = {symbol: number for number, symbol in enumerate(lines)}
    return _describe(vocabulary, _config(os.path.join(os.path.dirname(path), CONFIG)))


def _config(path: str) -> dict[str, Any]:
    if not os.path.isfile(path):
        return {}
    with open(path, encoding="utf-8") as stream:
        try:
            config = json.load(stream)
        except ValueError as error:
            raise UserError(f"the {CONFIG} beside it is damaged ({error})") from None
    return config if isinstance(config, dict) else {}


def _describe(vocabulary: dict[str, int], config: dict[str, Any]) -> dict[str, Any]:
    """tokenizer.json of a vocab.txt, with the settings of its tokenizer_config.json."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    unknown = next((symbol for symbol in (SPECIAL[UNKNOWN], UNKNOWN) if symbol in vocabulary), None)
    if unknown is None:
        raise UserError(f"not a WordPiece vocabulary: it has no line {SPECIAL[UNKNOWN]}")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown, continuing_subword_prefix=CONTINUATION))
    try:
        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=config.get("tokenize_chinese_chars", True),
            strip_accents=config.get("strip_accents"),  # None: as lowercase
            lowercase=config.get("do_lower_case", False),
        )
    except TypeError as error:
        raise UserError(f"the {CONFIG} beside it is damaged ({one_line(error)})") from None
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(CONTINUATION)
    special = [symbol for symbol in (*SPECIAL, *SPECIAL.values(), *MASKS) if symbol in vocabulary]
    tokenizer.add_special_tokens(special)
    return json.loads(tokenizer.to_str())


def _find(name: str) -> str:
    """The file that `name` means, fetched if need be."""
    if os.path.isdir(name):
        for file in (TOKENIZER, VOCABULARY):
            if os.path.isfile(os.path.join(name, file)):
                return os.path.join(name, file)
        raise UserError(f"{name}: holds neither {TOKENIZER} nor {VOCABULARY}")
    if os.path.exists(name):
        return name
    if not HUB_NAME.fullmatch(name) or name.endswith((".json", ".txt")):
        raise UserError(f"{name}: no such file or folder")
    return _fetch(name)


@contextlib.contextmanager
def _quiet_hub() -> Iterator[None]:
    """Without the hub's notices of every attempt."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _fetch(name: str) -> str:
    """The tokenizer.json or vocab.txt of the hub's repository `name`, in the hub's cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        with _quiet_hub():
            try:
                return hf_hub_download(name, TOKENIZER)
            except EntryNotFoundError as error:
                # Where the hub is out of reach (it was tried for half a minute), only the cache may have the others.
                local, unreachable = isinstance(error, LocalEntryNotFoundError), error
            try:
                path = hf_hub_download(name, VOCABULARY, local_files_only=local)
            except LocalEntryNotFoundError:
                raise unreachable from unreachable.__cause__
            with contextlib.suppress(EntryNotFoundError):  # not every vocabulary has one
                hf_hub_download(name, CONFIG, local_files_only=local)
            return path
    except Exception as error:  # hub, network, proxies and certificates each have errors of their own
        cause = error.__cause__ or error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise UserError(
            f"{name}: no such file or folder, and it cannot be fetched from the hub ({reason}): "
            f"download its {TOKENIZER} or {VOCABULARY} on a connected machine and give its path"
        ) from None
