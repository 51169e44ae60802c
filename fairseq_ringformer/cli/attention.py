"""Show the attention of one sentence or image, by level and head.

  ringformer attention --path runs/a/checkpoint_best.pt --data BIN_DIR --text "Guten Morgen!" --output morning
  ringformer attention --path runs/a/checkpoint_best.pt --data BIN_DIR --text "Danke." --target "Thank you." --output x
  ringformer attention --path runs/ring/best.pt --image shoe.png --output attention

Writes PREFIX.png, PREFIX.svg, PREFIX.json and PREFIX.html, a page to click through that needs nothing else. Of a
sentence: encoder, decoder and cross-attention, with the sub-words that the model was trained with; the target is
--target or the model's own greedy translation. In the cross-attention a row is the token that is predicted; in the
decoder's self-attention rows and columns are its input, which begins with </s>. Of an image: what the class token
attends to, over the picture, weights over the patches renormalised.
"""

import argparse
from typing import Any

from ..errors import UserError
from ..files import write_text
from ..text.subwords import build_codec
from . import inspection as shared
from . import subwords
from .arguments import flag, positive

ENDINGS = (*shared.ENDINGS, ".html")
# What belongs to text alone.
TEXT_FLAGS = ("data", "target", *subwords.ARGUMENTS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_arguments(parser, None, None)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", help="translation: a sentence of the source language, with --data")
    what.add_argument("--image", metavar="FILE", help="classifiers: the image")
    parser.add_argument("--target", metavar="TEXT", help="translation: default: the model's own, greedy")
    parser.add_argument("--levels", nargs="+", type=positive, metavar="N", help="levels to show, from 1; default: all")
    subwords.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from .._fairseq import quiet
    from ..analysis.inspection.attention import choose_levels
    from ..analysis.inspection.models import TEXT

    shared.check_outputs(args.output, ENDINGS, [args.image] if args.image else [])
    if args.text is None:
        given = [flag(name) for name in TEXT_FLAGS if getattr(args, name) not in (None, False)]
        if given:
            raise UserError(f"{' '.join(given)}: for translation models, with --text; --image needs none of these")
    elif not args.text.strip() or (args.target is not None and not args.target.strip()):
        raise UserError("--text and --target must not be empty")
    with quiet():
        (loaded,) = shared.load_models(args)
        if (loaded.kind == TEXT) != (args.text is not None):
            wanted = "--text" if loaded.kind == TEXT else "--image"
            raise UserError(f"{loaded.path} is a model for {loaded.kind}: give {wanted}")
        levels = choose_levels(loaded, args.levels)
        (_sentence if args.text is not None else _image)(args, loaded, levels)
    shared.print_written(args, ENDINGS)
    return 0


def _sentence(args: argparse.Namespace, loaded: Any, levels: list[int]) -> None:
    from ..analysis.inspection.attention import of_sentence
    from ..analysis.inspection.attention_maps import draw_sentence, sentence_page
    from ..analysis.output import rounded, save_figure, write_json

    task = loaded.task
    codec = build_codec(subwords.find_subwords(args, args.data), task.cfg.source_lang, task.cfg.target_lang)
    attention = of_sentence(loaded, codec, args.text, args.target, levels)
    parts, target = attention.parts, attention.target
    save_figure(args.output, draw_sentence(parts, f"{args.text} → {target}"))
    lines = [("model", f"{loaded.architecture}, {loaded.path}"), ("source", args.text)]
    lines.append(("target" if args.target else "translation", target))
    write_text(args.output + ".html", sentence_page(parts, f"{loaded.architecture}: attention", lines))
    content = {"checkpoint": loaded.describe(), "source": args.text, "target": target}
    content["parts"] = [{**part._asdict(), "weights": rounded(part.weights.tolist(), 5)} for part in parts]
    write_json(args.output + ".json", content)


def _image(args: argparse.Namespace, loaded: Any, levels: list[int]) -> None:
    from ..analysis.inspection.attention import of_image
    from ..analysis.inspection.attention_maps import draw_picture, picture_page
    from ..analysis.output import rounded, save_figure, write_json

    attention = of_image(loaded, args.image, levels)
    label = f"{attention.label} ({attention.probability:.2f})"
    title = f"{loaded.architecture}: attention of the class token"
    about = f"{title}; classified as {label}; each map to its own largest weight"
    save_figure(args.output, draw_picture(attention.maps, about))
    lines = [("model", f"{loaded.architecture}, {loaded.path}"), ("image", args.image), ("classified as", label)]
    write_text(args.output + ".html", picture_page(attention.maps, title, lines))
    content = {"checkpoint": loaded.describe(), "image": args.image, "classified_as": attention.label, "levels": levels}
    content["weights"] = rounded(attention.maps.weights.tolist(), 5)
    write_json(args.output + ".json", content)
