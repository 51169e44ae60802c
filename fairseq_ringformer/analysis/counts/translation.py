"""Parameters of a translation or language model by part, counted on torch's meta device: no weight is allocated."""

import argparse
from collections.abc import Iterable

import torch
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY

from ...errors import FlagParser, UserError, one_line
from ...models.base import StackModel
from ...models.dictionaries import numbered_dictionary
from ...models.ringformer import USER_DIR
from .parts import PartCount, size, stack_parts, whole


def model_class(arch: str) -> type[StackModel]:
    """The class of a registered architecture of this package, or of a user's own that is made of it.

    Raises:
        UserError: if there is none.
    """
    found = ARCH_MODEL_REGISTRY.get(arch)
    if found is None or not issubclass(found, StackModel):
        ours = sorted(name for name, cls in ARCH_MODEL_REGISTRY.items() if issubclass(cls, StackModel))
        raise UserError(f"unknown architecture {arch!r}: choose one of {', '.join(ours)} ({USER_DIR})")
    return found


def build_on_meta(
    arch: str, flags: Iterable[str] = (), source_vocab: int = 52_000, target_vocab: int = 52_000
) -> StackModel:
    """Build an architecture without allocating it.

    Args:
        arch: a registered architecture of this package.
        flags: model flags as on the command line, such as ``["--signal-rank", "4"]``.
        source_vocab, target_vocab: dictionary entries, special symbols included.

    Raises:
        UserError: if the architecture is not ours, or the flags are wrong or make no model.
    """
    kind = model_class(arch)
    parser = FlagParser(argument_default=argparse.SUPPRESS)
    kind.add_args(parser)
    args = parser.parse_args(list(flags))
    source, target = numbered_dictionary(source_vocab), numbered_dictionary(target_vocab)
    task = argparse.Namespace(source_dictionary=source, target_dictionary=target)
    try:
        ARCH_CONFIG_REGISTRY[arch](args)
        with torch.device("meta"):
            return kind.build_model(args, task)
    except (ValueError, OSError) as error:
        raise UserError(one_line(error)) from None


def count_parts(model: StackModel) -> list[PartCount]:
    """Every parameter of `model`, by part; the `unique` column adds up to the whole model."""
    counts: list[PartCount] = []
    for side, host in model.sides.items():
        if "embed_tokens" in host._modules:
            counts.append(whole(f"{side} embeddings", size(host.embed_tokens), vocabulary=True))
        for name in ("embed_positions", "layernorm_embedding"):
            if count := size(getattr(host, name)):
                counts.append(whole(f"{side} {name}", count))
        counts += stack_parts(host.stack, side)
    head = sum(p.numel() for name, p in model.decoder.named_parameters() if name.startswith("output_"))
    if head:
        counts.append(whole("output head", head, vocabulary=True))
    return counts
