"""Make training data of a teacher's translations (sequence-level distillation, arXiv 1606.07947).

  ringformer distill --teacher runs/vanilla_transformer_tiny/averaged.pt --data data/debian_de_en_quick_4000 \\
      --output data/debian_de_en_quick_4000_distilled
  examples/debian_de_en/train.sh --data data/debian_de_en_quick_4000_distilled --arch ringformer_tiny --output runs/student

The output is a prepared set like --data, with its dictionaries, validation and test text; a student trains on it as on any.
An interrupted run goes on with the same command, and ends as it would have.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .._fairseq import quiet
from ..errors import UserError
from ..export.checkpoints import data_folder, read_fairseq_checkpoint, split_paths
from ..extras import require
from ..text.distillation import Teaching, distill, holds_distilled
from ..text.prepared import PreparedData, recipe_subwords
from ..text.translator import Translator
from .arguments import (
    add_search_arguments,
    add_translator_arguments,
    check_output_folder,
    check_search,
    translator_options,
)
from .errors import require_fairseq
from .streams import notices

ENGINES = ("ctranslate2", "fairseq")
QUANTIZATION = "int8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--teacher",
        required=True,
        metavar="PATH",
        help="folder of ringformer export, or a checkpoint, or several between colons as an ensemble",
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="a prepared set, with its recipe.json")
    parser.add_argument("--output", required=True, metavar="DIR", help="the prepared set to write")
    parser.add_argument("--force", action="store_true", help="replace the distilled set that --output holds")
    parser.add_argument(
        "--with-original", action="store_true", help="keep the original pairs, before the distilled ones"
    )
    add_search_arguments(parser)
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        help="what runs a checkpoint: CTranslate2 in int8, or fairseq as in training; default: CTranslate2, fairseq for an "
        "ensemble",
    )
    add_translator_arguments(parser)


def run(args: argparse.Namespace) -> int:
    check_search(args)
    folder = os.path.isdir(args.teacher)
    if folder and args.engine == "fairseq":
        raise UserError("--engine fairseq needs a checkpoint as --teacher: this one is exported")
    data = PreparedData.read(Path(args.data))
    check_output_folder(args.output, holds_distilled, args.force)
    if os.path.realpath(args.output) == os.path.realpath(args.data):
        raise UserError(f"--output {args.output} is to be read: write to another folder")
    require_fairseq()
    require("sentencex")
    from tqdm import tqdm

    ensemble = not folder and len(split_paths(args.teacher)) > 1
    engine = args.engine or ("fairseq" if ensemble else "ctranslate2")
    if engine == "ctranslate2" and ensemble:
        raise UserError("--engine ctranslate2 runs one checkpoint: give one, or --engine fairseq")
    teaching = Teaching(args.teacher, args.beam, args.lenpen, args.with_original, engine)
    with quiet(), _teacher(args, data, engine) as translator:
        pairs = distill(translator, data, Path(args.output), teaching, lambda chunks: tqdm(chunks, unit=" chunks"))
    print(f"{pairs:,} training pairs, with the translations of {args.teacher}, written to {args.output}")
    return 0


@contextmanager
def _teacher(args: argparse.Namespace, data: PreparedData, engine: str) -> Iterator[Translator]:
    from ..models.assets import assets_of
    from ..text.exporting import export_translator

    with ExitStack() as stack:
        path = args.teacher
        options: dict[str, Any] = {}
        if not os.path.isdir(path):
            first = split_paths(path)[0]
            state = read_fairseq_checkpoint(first)
            carried = data_folder(None if assets_of(state) else str(data.binary), first, state, stack)
            subwords = recipe_subwords(carried) or data.subwords
            if engine == "ctranslate2":
                path = stack.enter_context(tempfile.TemporaryDirectory(prefix="ringformer-"))
                export_translator(first, state, carried, (None, None), subwords, path, QUANTIZATION)
            else:
                options = dict(data=carried, subwords=subwords)
            del state  # as large as the checkpoint
        options |= translator_options(args) | {"split": False, "note": notices("distill")}
        yield stack.enter_context(Translator(path, **options))
