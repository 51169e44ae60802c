"""Parameters of a stack by part, counted from what is registered; nothing is computed with them."""

from dataclasses import dataclass

from torch import nn

from ...modules import Bank, HaltingStack, Stack


@dataclass(frozen=True)
class PartCount:
    """Parameters of one part.

    `unique` are stored; `per_level` are what one level uses (None for what no level uses, or where levels differ);
    `unrolled` counts a shared parameter once for every level that uses it. `vocabulary` marks embeddings and heads.
    """

    part: str
    copies: int
    unique: int
    per_level: int | None
    unrolled: int
    vocabulary: bool = False


def stack_parts(stack: Stack, side: str = "") -> list[PartCount]:
    """Every part of `stack`, named after its `side` of a model, if it is one of two."""
    prefix = f"{side} " if side else ""
    counts = []
    for part in ("self_attn", "cross_attn", "ffn"):
        bank = getattr(stack, part)
        if bank is not None:
            used = [size(stack.copy_at(part, level)) for level in range(stack.levels)]
            # A feed-forward that the other side owns is used here and stored there.
            counts.append(_bank(f"{prefix}{part}", bank, used, stored=part in stack._modules))
    norms = [
        _bank("", bank, [size(bank.at(level)) for level in range(stack.levels)], stored=True)
        for bank in stack.norms.values()
    ]
    per_level = [count.per_level for count in norms]
    counts.append(
        PartCount(
            f"{prefix}norms",
            sum(count.copies for count in norms),
            sum(count.unique for count in norms),
            sum(per_level),
            sum(count.unrolled for count in norms),
        )
    )
    if stack.signals is not None:
        count = size(stack.signals)
        counts.append(PartCount(f"{prefix}signals", stack.levels, count, count // stack.levels, count))
    if isinstance(stack, HaltingStack):
        counts.append(whole(f"{prefix}halting unit", size(stack.halting_unit)))
    if stack.final_norm is not None:
        counts.append(whole(f"{prefix}final norm", size(stack.final_norm)))
    return counts


def _bank(part: str, bank: Bank, used: list[int], stored: bool) -> PartCount:
    """Those of `bank`, of which the levels use so many."""
    per_level = used[0] if len(set(used)) == 1 else None
    return PartCount(part, len(bank) if stored else 0, size(bank) if stored else 0, per_level, sum(used))


def whole(part: str, count: int, vocabulary: bool = False) -> PartCount:
    """A part of `count` parameters that no level uses."""
    return PartCount(part, 1, count, None, count, vocabulary)


def size(module: nn.Module | None) -> int:
    """Parameters of `module`."""
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())


def totals(counts: list[PartCount]) -> list[PartCount]:
    """Two rows that sum up `counts`: without embeddings and head (the paper's P*), and all."""
    inner = [count for count in counts if not count.vocabulary]
    return [
        PartCount(name, 0, sum(c.unique for c in rows), None, sum(c.unrolled for c in rows))
        for name, rows in (("without embeddings and head", inner), ("total", counts))
    ]
