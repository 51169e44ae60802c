"""Convert a trained model for an engine that needs neither fairseq, timm nor torch.

  ringformer export --path runs/a/averaged.pt --data BIN_DIR --to ctranslate2 --output runs/a/ct2 --quantization int8
  ringformer translate --model runs/a/ct2 < german.txt > english.txt

  ringformer export --path runs/vit_ring_tiny_patch4_28_seed1/best.pt --to onnx --output ring.onnx

A translator's output folder holds all that translating needs: weights, vocabularies, the sub-word model, and how text is
cut. An image classifier becomes one ONNX file, folded where it folds, which takes batches of any size; what its images
should be like, and the names of its classes, are in its metadata as JSON.
"""

import argparse
import os
import tempfile
from typing import Any

from .._fairseq import quiet
from ..errors import UserError
from ..text.ctranslate2_engine import FORMAT, MODEL, Recipe
from . import subwords
from .errors import load_checkpoint, require_fairseq

HELP = "convert a translator for CTranslate2, an image classifier to ONNX"
ONNX = "onnx"
SUBWORD_FILES = {
    "sentencepiece": "sentencepiece.model",
    "subword_nmt": "subword_nmt.codes",
    "wordpiece": "tokenizer.json",
}
QUANTIZATIONS = ("float32", "int8", "int8_float32", "bfloat16", "float16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--path", required=True, metavar="CKPT", help="checkpoint of this plug-in, or one that ringformer fold wrote"
    )
    parser.add_argument("--to", required=True, choices=(FORMAT, ONNX), help="the engine")
    parser.add_argument(
        "--output", required=True, metavar="PATH", help="the folder (CTranslate2) or file (ONNX) to write"
    )
    parser.add_argument("--force", action="store_true", help="replace the exported model that --output holds")
    text = parser.add_argument_group("CTranslate2")
    text.add_argument("--data", metavar="DIR", help="folder that fairseq-preprocess has written; required")
    text.add_argument("--quantization", choices=QUANTIZATIONS, help="type of the weights; default: float32")
    text.add_argument("-s", "--source-lang", metavar="LANG", help="default: as in training")
    text.add_argument("-t", "--target-lang", metavar="LANG", help="default: as in training")
    subwords.add_arguments(text)


def run(args: argparse.Namespace) -> int:
    if args.to == ONNX:
        from .onnx_engine import export_classifier

        return export_classifier(args)
    if args.data is None:
        raise UserError(f"--to {FORMAT} needs --data: the folder that fairseq-preprocess has written")
    args.quantization = args.quantization or "float32"
    require_fairseq()
    output = os.path.normpath(args.output)
    _check_output(output, args.force)
    state = load_checkpoint(args.path)
    if not os.path.isdir(args.data):
        raise UserError(f"{args.data}: no such data folder")
    cut = subwords.find_subwords(args, args.data)
    subwords.load_codec(cut, "en", "en")  # a damaged one is refused now
    with quiet():
        model = _export(args, state, cut, output)
    from ..export.loading import architecture

    size = os.path.getsize(os.path.join(output, MODEL)) / 1e6
    count = sum(weight.numel() for weight in model.parameters())
    print(
        f"{architecture(state)} of {count:,} parameters, {os.path.getsize(args.path) / 1e6:.1f} MB: "
        f"{args.quantization} weights of {size:.1f} MB, vocabularies and sub-words written to {args.output}"
    )
    return 0


def _export(args: argparse.Namespace, state: dict[str, Any], cut: subwords.Subwords, output: str):
    """Write the model of `state` to the folder `output`, and return it."""
    from ..export.ctranslate2 import RingConverter
    from ..export.loading import load_model
    from ..text.fairseq_engine import build_task, check_dictionaries

    task = build_task(args.path, state, args.data, (args.source_lang, args.target_lang))
    check_dictionaries(args.path, state, args.data, task)
    try:
        model = load_model(state)
        converter = RingConverter(model, task.source_dictionary.symbols, task.target_dictionary.symbols)
    except ValueError as error:
        raise UserError(f"{args.path}: {error}") from None
    recipe = Recipe(
        source_lang=task.cfg.source_lang,
        target_lang=task.cfg.target_lang,
        bpe=cut.bpe,
        bpe_model=SUBWORD_FILES.get(cut.bpe),
        tokenizer=cut.tokenizer,
        # One position is for the end of the sentence.
        max_source_tokens=min(model.encoder.max_positions(), task.cfg.max_source_positions) - 1,
        max_target_tokens=min(model.decoder.max_positions(), task.cfg.max_target_positions) - 1,
        quantization=args.quantization,
    )
    _write(output, converter, recipe, cut)
    return model


def _check_output(output: str, force: bool) -> None:
    folder = os.path.dirname(output) or "."
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder for --output")
    if os.path.islink(output) or (os.path.exists(output) and not os.path.isdir(output)):
        raise UserError(f"--output {output} is a file or a link: name a folder")
    if not os.path.isdir(output) or not os.listdir(output):
        return
    try:
        Recipe.read(output)
    except UserError:
        raise UserError(f"--output {output} is a folder that holds something else: name another") from None
    if not force:
        raise UserError(f"--output {output} holds an exported model: name another folder, or add --force to replace it")


def _write(output: str, converter, recipe: Recipe, cut: subwords.Subwords) -> None:
    """Write into a folder beside `output` first, so that `output` is never half a model."""
    try:
        with tempfile.TemporaryDirectory(dir=os.path.dirname(output) or ".", prefix=".export-") as work:
            fresh, old = os.path.join(work, "new"), os.path.join(work, "old")
            converter.convert(fresh, quantization=recipe.quantization)
            recipe.write(fresh)
            if cut.model is not None:
                subwords.copy_model(cut, os.path.join(fresh, recipe.bpe_model))
            if os.path.isdir(output):
                os.replace(output, old)
            os.replace(fresh, output)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}") from None
