"""Parameters of a translation model by part, counted on torch's meta device: no weight is allocated."""

import argparse
import functools
from dataclasses import dataclass
from typing import Callable, Iterable, List, Optional

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from torch import nn

from ..models.config import SIDES, RingFormerConfig
from ..models.ringformer import RingFormerModel
from ..modules import Bank, Stack


@dataclass(frozen=True)
class PartCount:
    """Parameters of one part.

    `unique` are stored; `per_level` are what one level uses (None for what no level uses, or where levels differ);
    `unrolled` counts a shared parameter once for every level that uses it.
    """

    part: str
    copies: int
    unique: int
    per_level: Optional[int]
    unrolled: int
    vocabulary: bool = False


def build_on_meta(arch: str, flags: Iterable[str] = (), source_vocab: int = 52_000, target_vocab: int = 52_000,
                  error: Optional[Callable[[str], None]] = None) -> RingFormerModel:
    """Build an architecture without allocating it.

    Args:
        arch: a registered architecture of this package.
        flags: model flags as on the command line, such as ``["--signal-rank", "4"]``.
        source_vocab, target_vocab: dictionary entries, special symbols included.
        error: called with the parser's message for wrong flags; default: argparse's exit.

    Raises:
        ValueError: if the architecture is not ours, or the flags make no model.
    """
    model_class = ARCH_MODEL_REGISTRY.get(arch)
    if model_class is None or not issubclass(model_class, RingFormerModel):
        ours = sorted(name for name, cls in ARCH_MODEL_REGISTRY.items() if issubclass(cls, RingFormerModel))
        raise ValueError(f"unknown architecture {arch!r}: choose one of {', '.join(ours)}")
    parser = argparse.ArgumentParser(prog=f"--arch {arch}", add_help=False, allow_abbrev=False,
                                     argument_default=argparse.SUPPRESS)
    if error is not None:
        parser.error = error
    model_class.add_args(parser)
    args = parser.parse_args(list(flags))
    ARCH_CONFIG_REGISTRY[arch](args)
    cfg = RingFormerConfig.from_namespace(args)
    source, target = numbered_dictionary(source_vocab), numbered_dictionary(target_vocab)
    task = argparse.Namespace(source_dictionary=source, target_dictionary=target)
    with torch.device("meta"):
        return model_class.build_model(cfg, task)


@functools.lru_cache(maxsize=2)
def numbered_dictionary(size: int) -> Dictionary:
    """A dictionary of `size` entries, special symbols included, for a model whose text is not at hand."""
    dictionary = Dictionary()
    if size < len(dictionary):
        raise ValueError(f"a vocabulary of {size} entries is too small: fairseq's special symbols are {len(dictionary)}")
    for index in range(size - len(dictionary)):
        dictionary.add_symbol(f"symbol{index}")
    return dictionary


def count_parts(model: RingFormerModel) -> List[PartCount]:
    """Every parameter of `model`, by part; the `unique` column adds up to the whole model."""
    counts: List[PartCount] = []
    for side in SIDES:
        host = getattr(model, side)
        if "embed_tokens" in host._modules:
            counts.append(_whole(f"{side} embeddings", host.embed_tokens, vocabulary=True))
        for name in ("embed_positions", "layernorm_embedding"):
            if _size(getattr(host, name)):
                counts.append(_whole(f"{side} {name}", getattr(host, name)))
        counts += _stack_parts(side, host.stack)
    head = sum(p.numel() for name, p in model.decoder.named_parameters() if name.startswith("output_"))
    if head:
        counts.append(PartCount("output head", 1, head, None, head, vocabulary=True))
    return counts


def _stack_parts(side: str, stack: Stack) -> List[PartCount]:
    counts = []
    for part in ("self_attn", "cross_attn", "ffn"):
        bank = getattr(stack, part)
        # A feed-forward that the other side owns is used here and stored there.
        if bank is not None:
            counts.append(_bank(f"{side} {part}", bank, stored=part in stack._modules))
    norms = [_bank("", bank, stored=True) for bank in stack.norms.values()]
    per_level = [count.per_level for count in norms]
    counts.append(PartCount(
        f"{side} norms",
        sum(count.copies for count in norms),
        sum(count.unique for count in norms),
        sum(per_level),
        sum(count.unrolled for count in norms),
    ))
    if stack.signals is not None:
        size = _size(stack.signals)
        counts.append(PartCount(f"{side} signals", stack.levels, size, size // stack.levels, size))
    if stack.final_norm is not None:
        counts.append(_whole(f"{side} final norm", stack.final_norm))
    return counts


def _bank(part: str, bank: Bank, stored: bool) -> PartCount:
    used = [_size(bank.at(level)) for level in range(len(bank.sharing))]
    return PartCount(part, len(bank) if stored else 0, _size(bank) if stored else 0, used[0], sum(used))


def _whole(part: str, module: nn.Module, vocabulary: bool = False) -> PartCount:
    return PartCount(part, 1, _size(module), None, _size(module), vocabulary)


def _size(module: Optional[nn.Module]) -> int:
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())


def totals(counts: List[PartCount]) -> List[PartCount]:
    """Two rows that sum up `counts`: without embeddings and head (the paper's P*), and all."""
    inner = [count for count in counts if not count.vocabulary]
    return [
        PartCount(name, 0, sum(c.unique for c in rows), None, sum(c.unrolled for c in rows))
        for name, rows in (("without embeddings and head", inner), ("total", counts))
    ]
