"""The attention of one sentence or one image, by level and head."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import UserError
from .attention_maps import Maps, PictureMaps
from .models import LoadedModel
from .states import level_counts, trace


@dataclass(frozen=True)
class SentenceAttention:
    """Maps of the encoder's, the decoder's and the cross-attention, and the target as raw text."""

    parts: list[Maps]
    target: str


@dataclass(frozen=True)
class ImageAttention:
    """What the class token attends to, and the class that the model gives the image, with its probability."""

    maps: PictureMaps
    label: str
    probability: float


def choose_levels(loaded: LoadedModel, levels: Sequence[int] | None) -> list[int]:
    """`levels`, counted from 1, in order, or all; those of the deeper side.

    Raises:
        UserError: if the model does not have one of them.
    """
    most = max(level_counts(loaded.model).values())
    for level in levels or ():
        if level > most:
            raise UserError(f"--levels {level}: {loaded.path} has levels 1 to {most}")
    return sorted(set(levels or range(1, most + 1)))


def of_sentence(
    loaded: LoadedModel, codec: Any, text: str, target: str | None, levels: Sequence[int]
) -> SentenceAttention:
    """Attention while a translation model reads `text` and writes `target`, by default its own greedy translation.

    Args:
        codec: between raw text and sub-words, see :class:`~fairseq_ringformer.text.subwords.Codec`.

    Raises:
        UserError: if one of both is longer than the model takes.
    """
    task, model = loaded.task, loaded.model
    device = next(model.parameters()).device
    longest = model.max_positions()
    source = _tokens(task.source_dictionary, codec.encode(text), "--text", longest[0])
    batch = {"src_tokens": source[None].to(device), "src_lengths": torch.tensor([len(source)], device=device)}
    if target is None:
        written = _greedy(loaded, batch)
    else:
        written = _tokens(task.target_dictionary, codec.encode(target), "--target", longest[1])
    batch["prev_output_tokens"] = written.roll(1)[None].to(device)  # its end comes first
    traced = trace(model, batch, attn_weights=True)
    read = [task.source_dictionary[index] for index in source]
    predicted = [task.target_dictionary[index] for index in written]
    given = [predicted[-1], *predicted[:-1]]
    parts = []
    for name, side, kind, rows, columns in (
        ("encoder self-attention", "encoder", "self_attn", read, read),
        ("decoder self-attention", "decoder", "self_attn", given, given),
        ("cross-attention", "decoder", "cross_attn", predicted, read),
    ):
        there = [level for level in levels if level <= len(traced[side].attn_weights)]
        if there:
            parts.append(Maps(name, there, rows, columns, _stacked(traced[side].attn_weights, there, kind)))
    return SentenceAttention(parts, codec.decode(task.target_dictionary.string(written.int())))


def of_image(loaded: LoadedModel, path: str, levels: Sequence[int]) -> ImageAttention:
    """What the class token of a classifier attends to in the image at `path`; weights over the patches renormalised.

    Raises:
        UserError: if the model has no class token, or the image cannot be read.
    """
    from ...vision.checkpoint import class_name, input_config
    from ...vision.data import eval_transform, read_image

    model, prefix = loaded.model, getattr(loaded.model, "num_prefix_tokens", 0)
    if not prefix:
        raise UserError(f"{loaded.path}: the model has no class token whose attention could be shown")
    size = input_config(loaded.state)
    image = eval_transform(size)(read_image(path, size.size[0], size.background))
    batch = {"images": image[None].to(next(model.parameters()).device)}
    weights = _stacked(trace(model, batch, attn_weights=True)["encoder"].attn_weights, levels, "self_attn")
    over = weights[:, :, 0, prefix:]
    over = (over / over.sum(-1, keepdims=True)).reshape(*over.shape[:2], *model.patch_embed.grid_size)
    mean, std = (torch.tensor(values)[:, None, None] for values in (size.mean, size.std))
    pixels = ((image * std + mean).clamp(0, 1) * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0)
    with torch.no_grad():
        probabilities = model(batch["images"])[0].float().softmax(0)
    best = int(probabilities.argmax())
    label = class_name(loaded.state["classes"], best)
    return ImageAttention(PictureMaps(list(levels), pixels.numpy(), over), label, float(probabilities[best]))


def _tokens(dictionary: Any, words: str, flag: str, longest: int) -> Tensor:
    tokens = dictionary.encode_line(words, add_if_not_exist=False).long()
    if len(tokens) > longest:
        raise UserError(f"{flag} has {len(tokens)} tokens, the model takes {longest}: give a shorter sentence")
    # Text that looks like a special symbol is not one.
    tokens[:-1][tokens[:-1] < dictionary.nspecial] = dictionary.unk()
    return tokens


def _greedy(loaded: LoadedModel, batch: dict[str, Tensor]) -> Tensor:
    """The model's own translation, its end included."""
    from ...text.stream import longest_output

    generator = loaded.task.build_generator([loaded.model], argparse.Namespace(beam=1, lenpen=1.0))
    generator.max_len_b = longest_output(batch["src_tokens"].size(1))
    hypotheses = loaded.task.inference_step(generator, [loaded.model], {"net_input": dict(batch)})
    return hypotheses[0][0]["tokens"].cpu().long()


def _stacked(attn_weights: list[dict[str, Tensor]], levels: Sequence[int], kind: str) -> NDArray:
    """Of the first example, `(levels, heads, rows, columns)`."""
    return numpy.stack([attn_weights[level - 1][kind][0].float().cpu().numpy() for level in levels])
