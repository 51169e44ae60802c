"""Which sub-words a model was trained with: flags, or the recipe beside its data."""

import argparse
import json
import os
import shutil
from typing import Any

from ..errors import UserError
from ..text.prepared import RECIPE
from ..text.subwords import FILES, FLAGS, Codec, Subwords, build_codec

ARGUMENTS = ("bpe", *FILES.values(), "tokenizer")


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


def find_recipe(data: str) -> dict[str, Any] | None:
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


def load_codec(subwords: Subwords, source_lang: str, target_lang: str) -> Codec:
    """As :func:`~..subwords.build_codec`; UserError if the model is damaged, or cannot be had."""
    try:
        return build_codec(subwords, source_lang, target_lang)
    except ValueError as error:
        raise UserError(str(error)) from None


def load_wordpieces(name: str):
    """The WordPieces of `name`; UserError with what to do if they cannot be had."""
    from ..text.wordpieces import WordPieces

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
