"""Multiply-adds of one pass by part, in closed form, checked by torch's counter on the pass itself.

  ringformer flops --arch vit_ring_768_l12_patch16_224
  ringformer flops --arch ringformer_base --source-length 30 --target-length 30

Every model flag of fairseq-train, or for an image classifier every keyword of the model, may follow. "thin": level
signals as two thin products beside the shared weights; "folded": in them, as in a folded or exported model.
"""

import argparse
import json
from typing import Any

from ..errors import UserError
from .arch import build_classifier, build_translator, is_classifier
from .arguments import flag, positive

TAKES_MODEL_FLAGS = True
LENGTH, VOCABULARY = 30, 52_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arch", required=True, help="architecture, or image classifier; model flags may follow")
    text = parser.add_argument_group("translation")
    text.add_argument("--source-length", type=positive, metavar="N", help=f"source tokens ({LENGTH})")
    text.add_argument("--target-length", type=positive, metavar="N", help=f"target tokens ({LENGTH})")
    text.add_argument(
        "--vocab-size", type=positive, metavar="N", help=f"dictionary entries of each side ({VOCABULARY})"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(args: argparse.Namespace) -> int:
    found = (_classifier if is_classifier(args.arch) else _translator)(args)
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)
    if found["thin"] != found["counted"]["thin"] or found["folded"] != found["counted"]["folded"]:
        raise UserError("torch's counter sees other figures than the closed form: please report this model")
    return 0


def _classifier(args: argparse.Namespace) -> dict[str, Any]:
    for name in ("source_length", "target_length", "vocab_size"):
        if getattr(args, name):
            raise UserError(f"{args.arch} classifies images: {flag(name)} is for translation")
    model = build_classifier(args.arch, args.model_flags)
    from ..analysis.counts.compute import classifier_compute, papers_convention

    size = " x ".join(str(pixels) for pixels in model.patch_embed.img_size)
    found = _counts(args.arch, f"one image of {size} pixels", classifier_compute(model), model)
    return {**found, "papers_convention": papers_convention(model)}


def _translator(args: argparse.Namespace) -> dict[str, Any]:
    source, target = args.source_length or LENGTH, args.target_length or LENGTH
    vocabulary = args.vocab_size or VOCABULARY
    model = build_translator(args.arch, args.model_flags, vocabulary, vocabulary)
    if "encoder" not in model.sides:
        raise UserError(f"{args.arch} is a language model: multiply-adds are counted of translators and classifiers")
    from ..analysis.counts.compute import translator_compute

    what = f"one pair of sentences, {source} and {target} tokens, the target at once; {vocabulary:,} entries"
    return _counts(args.arch, what, translator_compute(model, source, target), model, source, target)


def _counts(arch: str, what: str, parts, model, *lengths: int) -> dict[str, Any]:
    from ..analysis.counts.compute import FOLDED, THIN, measured, total

    return {
        "model": arch,
        "of": what,
        "parts": [vars(part) for part in parts],
        **{form: total(parts, form) for form in (THIN, FOLDED)},
        "counted": {form: measured(model, form, *lengths) for form in (THIN, FOLDED)},
    }


def _show(found: dict[str, Any]) -> None:
    from tabulate import tabulate

    unit, name = (1e9, "G") if found["folded"] >= 1e8 else (1e6, "M")
    print(f"{found['model']}: multiply-adds of {found['of']}, in {name}")
    rows = [[part["part"], part["thin"], part["folded"]] for part in found["parts"]]
    rows.append(["total", found["thin"], found["folded"]])
    rows.append(["counted by torch", found["counted"]["thin"], found["counted"]["folded"]])
    print(
        tabulate(
            [[row[0], *(f"{count / unit:.4f}" for count in row[1:])] for row in rows],
            headers=["part", "thin signals", "folded"],
            colalign=("left", "right", "right"),
            disable_numparse=True,
        )
    )
    if "papers_convention" in found:
        plain, signals = (found["papers_convention"][key] / unit for key in ("plain", "signals"))
        with_signals = (
            f"; {signals:.3f} with signals multiplied out and added at every level" if signals > plain else ""
        )
        print(
            f"in the paper's convention (norms 5 an element, GELU 6, additions and attention scores 1): "
            f"{plain:.3f}{with_signals}"
        )
