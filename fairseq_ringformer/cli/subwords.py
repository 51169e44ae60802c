"""How raw text becomes the sub-words that a model was trained with, and back."""

import argparse
import contextlib
import io
import json
import os
import shutil
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional

from .errors import UserError

RECIPE = "recipe.json"
# fairseq's names of the sub-word kinds, and what it calls the file of each.
FILES = {"sentencepiece": "sentencepiece_model", "subword_nmt": "bpe_codes", "wordpiece": "wordpiece_model"}
FLAGS = {kind: "--" + name.replace("_", "-") for kind, name in FILES.items()}
ARGUMENTS = ("bpe", *FILES.values(), "tokenizer")


@dataclass(frozen=True)
class Subwords:
    """A kind of sub-words.

    Attributes:
        bpe: ``sentencepiece``, ``subword_nmt``, ``wordpiece`` or None for plain words.
        model: the file of the sub-word model; of WordPieces, whatever ``WordPieces.load`` takes.
        tokenizer: fairseq's name of what runs before the sub-words, such as ``moses``; None for nothing.
    """

    bpe: Optional[str]
    model: Optional[str]
    tokenizer: Optional[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "sub-words", f"default: what {RECIPE} in the data folder, or beside it, says (examples/debian_de_en writes one)"
    )
    group.add_argument("--bpe", choices=(*FILES, "subword-nmt", "none"), help="kind of sub-words; none: plain words")
    group.add_argument("--sentencepiece-model", metavar="FILE", help="model of sentencepiece")
    group.add_argument("--bpe-codes", metavar="FILE", help="merges of subword-nmt")
    group.add_argument(
        "--wordpiece-model", metavar="NAME", help="vocab.txt, tokenizer.json, a folder with one, or a name on the hub"
    )
    group.add_argument("--tokenizer", choices=("moses", "space", "none"), help="what runs before the sub-words")


def find_subwords(args: argparse.Namespace, data: str) -> Subwords:
    """The sub-words that the flags name, or else the recipe of the folder `data`.

    Raises:
        UserError: if neither says, flags contradict each other, or the model is missing.
    """
    kind = args.bpe.replace("-", "_") if args.bpe else None
    for own, name in FILES.items():
        if getattr(args, name) is None:
            continue
        if kind not in (None, own):
            raise UserError(f"{FLAGS[own]} contradicts {FLAGS.get(kind) or f'--bpe {args.bpe}'}")
        kind = own
    recipe = find_recipe(data)
    if kind is not None:
        model = getattr(args, FILES[kind]) if kind in FILES else None
        if kind in FILES and model is None:
            raise UserError(f"--bpe {args.bpe} needs {FLAGS[kind]} FILE")
        tokenizer = None
    elif recipe is not None:
        kind, model, tokenizer = recipe["bpe"], recipe["bpe_model"], recipe["tokenizer"]
    else:
        raise UserError(
            f"no {RECIPE} in {data} or beside it: say how its text was cut, with --sentencepiece-model FILE, "
            "--bpe-codes FILE, --wordpiece-model NAME or --bpe none"
        )
    if args.tokenizer is not None:
        tokenizer = args.tokenizer
    # WordPieces.load finds its own, and says so where it does not.
    if model is not None and kind != "wordpiece" and not os.path.isfile(model):
        raise UserError(f"{model}: no such sub-word model")
    none_is_none = {"none": None}
    return Subwords(none_is_none.get(kind, kind), model, none_is_none.get(tokenizer, tokenizer))


def find_recipe(data: str) -> Optional[Dict[str, Any]]:
    """The recipe in the folder `data`, or beside it if it is the recipe's ``bin``; its model's path made whole.

    Raises:
        UserError: if there is one that cannot be used.
    """
    for folder in (data, os.path.join(data, os.pardir)):
        path = os.path.normpath(os.path.join(folder, RECIPE))
        if not os.path.isfile(path):
            continue
        try:
            with open(path, encoding="utf-8") as stream:
                recipe = json.load(stream)
            kind, model, tokenizer = recipe["bpe"], recipe["bpe_model"], recipe.get("tokenizer")
            own_data = os.path.join(folder, recipe.get("bin", "."))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{path}: not a recipe of sub-words; give the sub-word model by flag") from None
        if folder is not data and os.path.realpath(own_data) != os.path.realpath(data):
            continue
        if kind not in FILES:
            raise UserError(f"{path}: unknown kind of sub-words {kind!r}; known: {', '.join(FILES)}")
        return {"bpe": kind, "bpe_model": os.path.join(os.path.dirname(path), model), "tokenizer": tokenizer}
    return None


@dataclass(frozen=True)
class Codec:
    """Both ways between raw text and the words of a dictionary, separated by spaces."""

    encode: Callable[[str], str]
    decode: Callable[[str], str]


def build_codec(subwords: Subwords, source_lang: str, target_lang: str) -> Codec:
    """What fairseq's ``--tokenizer`` and ``--bpe`` do for `subwords`, without fairseq.

    Raises:
        UserError: if the model is damaged, or cannot be had.
    """
    steps = []
    if subwords.tokenizer == "moses":
        steps.append(_moses(source_lang, target_lang))
    if subwords.bpe == "wordpiece":
        steps.append(load_wordpieces(subwords.model))
    elif subwords.bpe:
        load = {"sentencepiece": _sentencepiece, "subword_nmt": _subword_nmt}[subwords.bpe]
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                steps.append(load(subwords.model))
        except (Exception, SystemExit):  # subword-nmt exits by itself
            raise UserError(f"{subwords.model}: not a model of {subwords.bpe}, or a damaged one") from None

    def encode(text: str) -> str:
        for step in steps:
            text = step.encode(text)
        return text

    def decode(text: str) -> str:
        for step in reversed(steps):
            text = step.decode(text)
        return text

    return Codec(encode, decode)


def _sentencepiece(path: str) -> Codec:
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=path)
    return Codec(
        lambda text: " ".join(model.encode(text, out_type=str)),
        lambda words: words.replace(" ", "").replace("\N{LOWER ONE EIGHTH BLOCK}", " ").strip(),
    )


def _subword_nmt(path: str) -> Codec:
    from subword_nmt.apply_bpe import BPE

    with open(path, encoding="utf-8") as codes:
        model = BPE(codes)
    return Codec(model.process_line, lambda words: f"{words} ".replace("@@ ", "").rstrip())


def load_wordpieces(name: str):
    """The WordPieces of `name`; UserError with what to do if they cannot be had."""
    from ..wordpieces import WordPieces

    try:
        return WordPieces.load(name)
    except ValueError as error:
        raise UserError(str(error)) from None


def copy_model(subwords: Subwords, path: str) -> None:
    """Write the sub-word model as one file; OSError if that fails."""
    if subwords.bpe == "wordpiece":
        load_wordpieces(subwords.model).save(path)
    else:
        shutil.copyfile(subwords.model, path)


def _moses(source_lang: str, target_lang: str) -> Codec:
    from sacremoses import MosesDetokenizer, MosesTokenizer

    tokenizer, detokenizer = MosesTokenizer(source_lang), MosesDetokenizer(target_lang)
    return Codec(
        lambda text: tokenizer.tokenize(text, aggressive_dash_splits=True, return_str=True, escape=True),
        lambda words: detokenizer.detokenize(words.split()),
    )
