"""Convert a trained model for an engine that needs neither fairseq nor timm.

  ringformer export --path runs/a/averaged.pt --to ctranslate2 --output runs/a/ct2 --quantization int8
  ringformer translate --model runs/a/ct2 < german.txt > english.txt

  ringformer export --path runs/a/averaged.pt --to transformers --output runs/a/hf

  ringformer export --path runs/lm/checkpoint_best.pt --data BIN_DIR --to ctranslate2 --output runs/lm/ct2

  ringformer export --path runs/vit_ring_tiny_patch4_28_seed1/best.pt --to onnx --output ring.onnx

A translator's output folder holds all that translating needs: weights, vocabularies, the sub-word model, and how text is
cut; Hugging Face's transformers loads the one that is for it without this package. A language model's has weights and
vocabulary, for CTranslate2's Generator. An image classifier becomes one ONNX file, folded where it folds, which takes batches
of any size; what its images should be like, and the names of its classes, are in its metadata as JSON.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from .._fairseq import quiet
from ..errors import UserError, about
from ..export.checkpoints import check_fairseq_checkpoint, data_folder, is_classifier
from ..extras import require
from ..files import read_checkpoint, whole_file
from ..text.ctranslate2_engine import FORMAT, MODEL, holds_model
from ..text.subwords import build_codec
from ..text.transformers_folder import FORMAT as TRANSFORMERS
from ..text.transformers_folder import MODEL as SAFETENSORS
from ..text.transformers_folder import export_to_transformers
from ..text.transformers_folder import holds_model as holds_transformers
from . import subwords
from .arguments import check_output, check_output_folder, refuse_flags
from .converted import report, size
from .errors import require_fairseq, require_timm

ONNX = "onnx"
QUANTIZATIONS = ("float32", "int8", "bfloat16", "float16")
LANGUAGES = ("source_lang", "target_lang", *subwords.ARGUMENTS)
TEXT_FLAGS = ("data", "quantization", "shortlist", *LANGUAGES)


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
        "--data",
        "--dict",
        metavar="DIR",
        help="folder with the dictionaries that fairseq-preprocess has written; default: what the checkpoint carries",
    )
    text.add_argument("--quantization", choices=QUANTIZATIONS, help="type of CTranslate2's weights; default: float32")
    text.add_argument(
        "--shortlist",
        action="store_true",
        help="align the training data of --data, so that of the target sub-words a sentence's candidates alone are scored: "
        "faster, and nearly as good",
    )
    text.add_argument("-s", "--source-lang", metavar="LANG", help="default: as in training")
    text.add_argument("-t", "--target-lang", metavar="LANG", help="default: as in training")
    subwords.add_arguments(text)


def run(args: argparse.Namespace) -> int:
    return ENGINES[args.to](args)


def _to_ctranslate2(args: argparse.Namespace) -> int:
    check_output_folder(args.output, lambda folder: holds_model(folder) or _holds_generator(folder), args.force)
    state = _read_checkpoint(args)
    from ..export.loading import architecture, is_language_model

    quantization = args.quantization or "float32"
    if is_language_model(state):
        return _export_language_model(args, state, quantization)
    if args.shortlist:
        require("eflomal")
        if args.data is None:
            raise UserError("--shortlist needs --data: the folder of the training data")
    from ..text.exporting import export_translator

    with _translator(args, state) as translator:
        model = export_translator(*translator, args.output, quantization, args.shortlist)
    weights = f"{quantization} weights of {size(os.path.join(args.output, MODEL))}"
    report(args, architecture(state), model, f"{weights}, vocabularies{', shortlist' * args.shortlist} and sub-words")
    return 0


def _to_transformers(args: argparse.Namespace) -> int:
    refuse_flags(args, ("quantization",), f"is for --to {FORMAT}: transformers casts weights as it loads them (dtype)")
    refuse_flags(args, ("shortlist",), f"is for --to {FORMAT}")
    check_output_folder(args.output, holds_transformers, args.force)
    state = _read_checkpoint(args)
    from ..export.loading import architecture, is_language_model

    if is_language_model(state):
        raise UserError(f"{args.path}: a language model's checkpoint: from Python, export/opt.py makes an OPT of it")
    with _translator(args, state) as translator:
        model, kind = export_to_transformers(*translator, args.output)
    weights = size(os.path.join(args.output, SAFETENSORS))
    report(args, architecture(state), model, f"{kind} of {weights} and its tokenizer")
    return 0


def _read_checkpoint(args: argparse.Namespace) -> dict[str, Any]:
    """fairseq's checkpoint of --path."""
    require_fairseq()
    state = read_checkpoint(args.path)
    if is_classifier(state):
        raise UserError(f"{args.path}: an image classifier's checkpoint: classifiers are exported --to {ONNX}")
    return check_fairseq_checkpoint(args.path, state)


@contextmanager
def _translator(args: argparse.Namespace, state: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """What exporters of translators begin with: the checkpoint's path and content, its data, languages and sub-words."""
    with ExitStack() as stack:
        data = data_folder(args.data, args.path, state, stack)
        cut = subwords.find_subwords(args, data)
        build_codec(cut, "en", "en")  # a damaged one is refused now
        stack.enter_context(quiet())
        yield args.path, state, data, (args.source_lang, args.target_lang), cut


def _export_language_model(args: argparse.Namespace, state: dict[str, Any], quantization: str) -> int:
    from ..export.loading import architecture
    from ..text.exporting import export_language_model

    refuse_flags(args, (*LANGUAGES, "shortlist"), "is for translators: leave it out for a language model")
    if args.data is None:
        raise UserError(f"{args.path}: a language model's checkpoint: give the folder of its dict.txt as --data")
    with quiet():
        model = export_language_model(args.path, state, args.data, args.output, quantization)
    weights = f"{quantization} weights of {size(os.path.join(args.output, MODEL))}"
    report(args, architecture(state), model, f"{weights} and vocabulary")
    return 0


def _holds_generator(folder: str) -> bool:
    """Whether `folder` is what :func:`_export_language_model` writes, and nothing else."""
    return {MODEL, "config.json", "vocabulary.json"} == set(os.listdir(folder))


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
        f"{state['arch']}, {size(args.path)}: {folded}{size(args.output)}, "
        f"outputs within {worst:.0e} of torch's, written to {args.output}"
    )
    return 0


ENGINES = {FORMAT: _to_ctranslate2, TRANSFORMERS: _to_transformers, ONNX: _export_classifier}
