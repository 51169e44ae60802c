"""Show the attention of one sentence or image, by level and head.

  ringformer attention --path runs/a/checkpoint_best.pt --data BIN_DIR --text "Guten Morgen!" --output morning
  ringformer attention --path runs/a/checkpoint_best.pt --data BIN_DIR --text "Danke." --target "Thank you." --output x
  ringformer attention --path runs/ring/best.pt --image shoe.png --output shoe

Writes PREFIX.png, PREFIX.svg, PREFIX.json and PREFIX.html, a page to click through that needs nothing else. Of a
sentence: encoder, decoder and cross-attention, with the sub-words that the model was trained with; the target is
--target or the model's own greedy translation. In the cross-attention a row is the token that is predicted; in the
decoder's self-attention rows and columns are its input, which begins with </s>. Of an image: what the class token
attends to, over the picture, weights over the patches renormalised.
"""

import argparse
from typing import Any

from ..errors import UserError
from ..text.subwords import build_codec
from . import subjects as shared
from . import subwords
from .arguments import positive

ENDINGS = (".png", ".svg", ".json", ".html")
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

    shared.check_output(args.output, ENDINGS)
    if args.text is None:
        given = [f"--{flag.replace('_', '-')}" for flag in TEXT_FLAGS if getattr(args, flag) is not None]
        if given:
            raise UserError(f"{' '.join(given)}: for translation models, with --text; --image needs none of these")
    elif not args.text.strip() or (args.target is not None and not args.target.strip()):
        raise UserError("--text and --target must not be empty")
    with quiet():
        (subject,) = shared.load_subjects(args)
        if (subject.kind == shared.TEXT) != (args.text is not None):
            wanted = "--text" if subject.kind == shared.TEXT else "--image"
            raise UserError(f"{subject.path} is a model for {subject.kind}: give {wanted}")
        try:
            levels = _levels(args, subject)
            (_sentence if args.text is not None else _image)(args, subject, levels)
        except ValueError as error:
            raise UserError(f"{subject.path}: {error}") from None
    print(f"written: {', '.join(args.output + ending for ending in ENDINGS)}")
    return 0


def _levels(args: argparse.Namespace, subject: shared.Subject) -> list[int]:
    """The levels to show, in order; for sides of different depth those that a side has."""
    from ..analysis.inspection.states import level_counts

    most = max(level_counts(subject.model).values())
    for level in args.levels or ():
        if level > most:
            raise UserError(f"--levels {level}: {subject.path} has levels 1 to {most}")
    return sorted(set(args.levels or range(1, most + 1)))


def _sentence(args: argparse.Namespace, subject: shared.Subject, levels: list[int]) -> None:
    from ..analysis.inspection.attention_maps import draw_sentence, sentence_page
    from ..analysis.inspection.states import trace

    task = subject.state["task"]
    codec = build_codec(subwords.find_subwords(args, args.data), task.cfg.source_lang, task.cfg.target_lang)
    source = _tokens(task.source_dictionary, codec.encode(args.text))
    longest = subject.model.max_positions()
    _check_length("--text", len(source), longest[0])
    batch = _batch(subject, source)
    if args.target is None:
        target = _greedy(subject, task, batch)
    else:
        target = _tokens(task.target_dictionary, codec.encode(args.target))
        _check_length("--target", len(target), longest[1])
    device = batch["src_tokens"].device
    batch["prev_output_tokens"] = target.roll(1)[None].to(device)  # its end comes first
    traced = trace(subject.model, batch, weights=True)
    parts = _parts(task, source, target, traced, levels)
    words = task.target_dictionary.string(target.int())
    said = codec.decode(words)
    lines = [("model", f"{subject.architecture}, {subject.path}"), ("source", args.text)]
    lines.append(("target" if args.target else "translation", said))
    shared.draw(draw_sentence(parts, f"{args.text} → {said}"), args.output)
    _write(args, sentence_page(parts, f"{subject.architecture}: attention", lines))
    shared.write_json(
        {
            "checkpoint": subject.described(),
            "source": args.text,
            "target": said,
            "parts": [{**own._asdict(), "weights": shared.rounded(own.weights.tolist(), 5)} for own in parts],
        },
        args.output + ".json",
    )


def _tokens(dictionary: Any, words: str) -> Any:
    tokens = dictionary.encode_line(words, add_if_not_exist=False).long()
    # Text that looks like a special symbol is not one.
    tokens[:-1][tokens[:-1] < dictionary.nspecial] = dictionary.unk()
    return tokens


def _check_length(flag: str, length: int, longest: int) -> None:
    if length > longest:
        raise UserError(f"{flag} has {length} tokens, the model takes {longest}: give a shorter sentence")


def _batch(subject: shared.Subject, source: Any) -> dict[str, Any]:
    import torch

    device = next(subject.model.parameters()).device
    return {"src_tokens": source[None].to(device), "src_lengths": torch.tensor([len(source)], device=device)}


def _greedy(subject: shared.Subject, task: Any, batch: dict[str, Any]) -> Any:
    """The model's own translation, its end included."""
    from ..text.stream import longest_output

    generator = task.build_generator([subject.model], argparse.Namespace(beam=1, lenpen=1.0))
    generator.max_len_b = longest_output(batch["src_tokens"].size(1))
    found = task.inference_step(generator, [subject.model], {"net_input": dict(batch)})
    return found[0][0]["tokens"].cpu().long()


def _parts(task: Any, source: Any, target: Any, traced: dict[str, Any], levels: list[int]) -> list[Any]:
    """Maps of the encoder's, the decoder's and the cross-attention, each with those of `levels` that it has."""
    from ..analysis.inspection.attention_maps import Maps

    read = [task.source_dictionary[index] for index in source]
    written = [task.target_dictionary[index] for index in target]
    given = [written[-1], *written[:-1]]
    parts = []
    for name, side, kind, rows, columns in (
        ("encoder self-attention", "encoder", "self_attn", read, read),
        ("decoder self-attention", "decoder", "self_attn", given, given),
        ("cross-attention", "decoder", "cross_attn", written, read),
    ):
        own = [level for level in levels if level <= len(traced[side].weights)]
        if own:
            parts.append(Maps(name, own, rows, columns, _stacked(traced[side].weights, own, kind)))
    return parts


def _stacked(weights: list[dict[str, Any]], levels: list[int], kind: str) -> Any:
    import torch

    return torch.stack([weights[level - 1][kind][0].float().cpu() for level in levels]).numpy()


def _image(args: argparse.Namespace, subject: shared.Subject, levels: list[int]) -> None:
    import torch

    from ..analysis.inspection.attention_maps import PictureMaps, draw_picture, picture_page
    from ..analysis.inspection.states import trace
    from ..vision.checkpoint import input_config
    from ..vision.data import eval_transform

    model = subject.model
    prefix = getattr(model, "num_prefix_tokens", 0)
    if not prefix:
        raise ValueError("the model has no class token whose attention could be shown")
    size = input_config(subject.state)
    image = eval_transform(size)(_read(args.image, size.size[0]))
    device = next(model.parameters()).device
    batch = {"images": image[None].to(device)}
    weights = _stacked(trace(model, batch, weights=True)["encoder"].weights, levels, "self_attn")
    over = weights[:, :, 0, prefix:]
    over = (over / over.sum(-1, keepdims=True)).reshape(*over.shape[:2], *model.patch_embed.grid_size)
    mean, std = (torch.tensor(own)[:, None, None] for own in (size.mean, size.std))
    picture = ((image * std + mean).clamp(0, 1) * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0).numpy()
    maps = PictureMaps(levels, picture, over)
    with torch.no_grad():
        probabilities = model(batch["images"])[0].float().softmax(0)
    best = int(probabilities.argmax())
    classes = subject.state["classes"]
    found = classes[best] if best < len(classes) else f"output {best}"
    about = f"{found} ({float(probabilities[best]):.2f})"
    title = f"{subject.architecture}: attention of the class token"
    shared.draw(draw_picture(maps, f"{title}; classified as {about}; each map to its own largest weight"), args.output)
    lines = [("model", f"{subject.architecture}, {subject.path}"), ("image", args.image), ("classified as", about)]
    _write(args, picture_page(maps, title, lines))
    shared.write_json(
        {
            "checkpoint": subject.described(),
            "image": args.image,
            "classified_as": found,
            "levels": levels,
            "weights": shared.rounded(over.tolist(), 5),
        },
        args.output + ".json",
    )


def _read(path: str, channels: int) -> Any:
    """The decoded image, grey or in colour as the model's channels are."""
    from ..vision.data.images import Damaged, decode
    from ..vision.data.transforms import image_mode

    try:
        with open(path, "rb") as stream:
            return decode(stream.read(), image_mode(channels))
    except Damaged:
        raise UserError(f"{path}: damaged, or no image") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None


def _write(args: argparse.Namespace, page: str) -> None:
    with shared.writing(args.output + ".html"):
        with open(args.output + ".html", "w", encoding="utf-8") as stream:
            stream.write(page)
