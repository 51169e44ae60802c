"""Convert a trained model for an engine that needs neither fairseq nor timm.

  ringformer export --path runs/a/averaged.pt --to ctranslate2 --output runs/a/ct2 --quantization int8
  ringformer translate --model runs/a/ct2 < german.txt > english.txt

  ringformer export --path runs/a/averaged.pt --to transformers --output runs/a/hf

  ringformer export --path runs/vit_ring_tiny_patch4_28_seed1/best.pt --to onnx --output ring.onnx

A translator's output folder holds all that translating needs: weights, vocabularies, the sub-word model, and how text is
cut; Hugging Face's transformers loads the one that is for it without this package. An image classifier becomes one ONNX
file, folded where it folds, which takes batches of any size; what its images should be like, and the names of its
classes, are in its metadata as JSON.
"""

import argparse
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from .._fairseq import quiet
from ..errors import UserError, about
from ..export.checkpoints import check_fairseq_checkpoint, is_classifier
from ..files import read_checkpoint, whole_file
from ..text.ctranslate2_engine import FORMAT, MODEL, holds_model
from ..text.subwords import build_codec
from ..text.transformers_folder import FORMAT as TRANSFORMERS
from ..text.transformers_folder import MODEL as SAFETENSORS
from ..text.transformers_folder import holds_model as holds_transformers
from . import subwords
from .arguments import check_output, check_output_folder, refuse_flags
from .checkpoints import data_folder
from .errors import require_fairseq, require_timm

ONNX = "onnx"
QUANTIZATIONS = ("float32", "int8", "int8_float32", "bfloat16", "float16")
TEXT_FLAGS = ("data", "quantization", "source_lang", "target_lang", *subwords.ARGUMENTS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--path", required=True, metavar="CKPT", help="checkpoint of this plug-in, or one that ringformer fold wrote"
    )
    parser.add_argument("--to", required=True, choices=tuple(ENGINES), help="the engine")
    parser.add_argument(
        "--output", required=True, metavar="PATH", help="the folder (CTranslate2, transformers) or file (ONNX) to write"
    )
    parser.add_argument("--force", action="store_true", help="replace the exported model that --output holds")
    text = parser.add_argument_group("CTranslate2 and transformers")
    text.add_argument(
        "--data", metavar="DIR", help="folder that fairseq-preprocess has written; default: what the checkpoint carries"
    )
    text.add_argument("--quantization", choices=QUANTIZATIONS, help="type of CTranslate2's weights; default: float32")
    text.add_argument("-s", "--source-lang", metavar="LANG", help="default: as in training")
    text.add_argument("-t", "--target-lang", metavar="LANG", help="default: as in training")
    subwords.add_arguments(text)


def run(args: argparse.Namespace) -> int:
    return ENGINES[args.to](args)


def _to_ctranslate2(args: argparse.Namespace) -> int:
    check_output_folder(args.output, holds_model, args.force)
    quantization = args.quantization or "float32"

    def export(*translator: Any) -> tuple[Any, str]:
        from ..text.exporting import export_translator

        model = export_translator(*translator, args.output, quantization)
        return model, f"{quantization} weights of {_size(os.path.join(args.output, MODEL))}, vocabularies and sub-words"

    return _export_translator(args, export)


def _to_transformers(args: argparse.Namespace) -> int:
    refuse_flags(args, ("quantization",), f"is for --to {FORMAT}: transformers casts weights as it loads them (dtype)")
    check_output_folder(args.output, holds_transformers, args.force)

    def export(*translator: Any) -> tuple[Any, str]:
        from ..text.transformers_folder import export_to_transformers

        model, kind = export_to_transformers(*translator, args.output)
        return model, f"{kind} of {_size(os.path.join(args.output, SAFETENSORS))} and its tokenizer"

    return _export_translator(args, export)


def _export_translator(args: argparse.Namespace, export: Callable[..., tuple[Any, str]]) -> int:
    """Give `export` the checkpoint, its data, languages and sub-words; it returns the model, and what it has written."""
    require_fairseq()
    from ..export.loading import architecture

    state = read_checkpoint(args.path)
    if is_classifier(state):
        raise UserError(f"{args.path}: an image classifier's checkpoint: classifiers are exported --to {ONNX}")
    check_fairseq_checkpoint(args.path, state)
    with ExitStack() as stack:
        data = data_folder(args.data, args.path, state, stack)
        cut = subwords.find_subwords(args, data)
        build_codec(cut, "en", "en")  # a damaged one is refused now
        stack.enter_context(quiet())
        languages = args.source_lang, args.target_lang
        model, written = export(args.path, state, data, languages, cut)
    count = sum(weight.numel() for weight in model.parameters())
    print(f"{architecture(state)} of {count:,} parameters, {_size(args.path)}: {written} written to {args.output}")
    return 0


def _export_classifier(args: argparse.Namespace) -> int:
    refuse_flags(args, TEXT_FLAGS, f"is for translators: leave it out with --to {ONNX}")
    check_output(args.output, [args.path], force=args.force)
    state = read_checkpoint(args.path)
    if not is_classifier(state):
        engines = f"{FORMAT} or {TRANSFORMERS}"
        raise UserError(f"{args.path}: no image classifier's checkpoint: translators are exported --to {engines}")
    require_timm()
    from ..export.onnx import export_onnx, plain_classifier
    from ..vision.checkpoint import model_of

    model, state = model_of(args.path, state)
    plain = plain_classifier(model)
    metadata = {key: state[key] for key in ("classes", "input")}
    with whole_file(args.output) as partial, about(args.path), quiet():
        worst = export_onnx(plain, partial, metadata, original=model)
    folded = "folded, " if plain is not model else ""
    print(
        f"{state['arch']}, {_size(args.path)}: {folded}{_size(args.output)}, "
        f"outputs within {worst:.0e} of torch's, written to {args.output}"
    )
    return 0


ENGINES = {FORMAT: _to_ctranslate2, TRANSFORMERS: _to_transformers, ONNX: _export_classifier}


def _size(path: str) -> str:
    return f"{os.path.getsize(path) / 1e6:.1f} MB"
