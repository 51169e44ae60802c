"""Flags that say how text was normalised, and cut into sub-words."""

import argparse
import os

from ..errors import UserError
from ..text.prepared import RECIPE, recipe_normalisation, recipe_subwords
from ..text.subwords import FILES, FLAGS, Subwords

CUT = ("bpe", *FILES.values(), "tokenizer")
ARGUMENTS = (*CUT, "no_normalise")


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
    group.add_argument(
        "--no-normalise", action="store_true", help=f"take text as it is, whatever {RECIPE} says of the training text"
    )


def find_subwords(args: argparse.Namespace, data: str) -> Subwords:
    """The sub-words that the flags name, or else the recipe of the folder `data`, which says how text was normalised.

    Raises:
        UserError: if neither says, flags contradict each other, or the model is missing.
    """
    bpe = args.bpe.replace("-", "_") if args.bpe else None
    for kind, name in FILES.items():
        if getattr(args, name) is None:
            continue
        if bpe not in (None, kind):
            raise UserError(f"{FLAGS[kind]} contradicts {FLAGS.get(bpe) or f'--bpe {args.bpe}'}")
        bpe = kind
    if bpe is not None:
        model = getattr(args, FILES[bpe]) if bpe in FILES else None
        if bpe in FILES and model is None:
            raise UserError(f"--bpe {args.bpe} needs {FLAGS[bpe]} FILE")
        tokenizer, normalisation = None, recipe_normalisation(data)
    elif (recipe := recipe_subwords(data)) is not None:
        bpe, model, tokenizer, normalisation = recipe.bpe, recipe.model, recipe.tokenizer, recipe.normalisation
    else:
        raise UserError(
            f"no {RECIPE} in {data} or beside it: say how its text was cut, with --sentencepiece-model FILE, "
            "--bpe-codes FILE, --wordpiece-model NAME or --bpe none"
        )
    if args.tokenizer is not None:
        tokenizer = args.tokenizer
    # WordPieces.load says where it does not find its own.
    if model is not None and bpe != "wordpiece" and not os.path.isfile(model):
        raise UserError(f"{model}: no such sub-word model")
    none_is_none = {"none": None}
    return Subwords(
        none_is_none.get(bpe, bpe),
        model,
        none_is_none.get(tokenizer, tokenizer),
        None if args.no_normalise else normalisation,
    )
