"""The paper's parameter tables as data: how each row is built, and what was published (arXiv 2502.13181)."""

import math
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from ..modules import StackConfig
from .counting import PartCount, totals

VOCABULARY = 52_000  # BiBERT's WordPieces, shared by both sides


@dataclass(frozen=True)
class PaperRow:
    """One published row.

    `arch` is an architecture of fairseq or a model of timm; `published` is in millions, to two decimals; `note` says
    why a row cannot be met.
    """

    model: str
    arch: str
    published: float
    flags: Tuple[str, ...] = ()
    note: Optional[str] = None


@dataclass(frozen=True)
class PaperTable:
    """Rows counted alike: `total`, or without embeddings and head (P*); figures `truncated` by the paper, or rounded."""

    caption: str
    total: bool
    rows: Tuple[PaperRow, ...]
    truncated: bool = True
    vision: bool = False


SWAPPED = (
    "the paper's figures for 'w/o FF signal' and 'inter-FF' look swapped: {this}; 20.59M is inter-FF with its "
    "feed-forward signal at rank 4 (20,590,880)"
)

TABLES: Dict[int, PaperTable] = {
    1: PaperTable(
        "Table 1: translation, without embeddings and head",
        False,
        (
            PaperRow("vanilla", "vanilla_transformer_base", 44.05),
            PaperRow("one wide FFN", "one_wide_ffn_base", 20.98),
            PaperRow("universal", "universal_transformer_base", 7.34),
            PaperRow("ringformer", "ringformer_base", 8.94),
            PaperRow("vanilla", "vanilla_transformer_large", 176.18),
            PaperRow("one wide FFN", "one_wide_ffn_large", 83.91),
            PaperRow("universal", "universal_transformer_large", 29.37),
            PaperRow("ringformer", "ringformer_large", 35.71),
        ),
    ),
    2: PaperTable(
        "Table 2: image classification, 6 levels, 100 classes (ImageNet-small), all parameters",
        True,
        (
            PaperRow("ViT", "vit_vanilla_512_l6_patch16_224", 19.36),
            PaperRow("universal", "vit_universal_512_l6_patch16_224", 3.60),
            PaperRow("one wide FFN", "vit_owf_376_l6_patch16_224", 4.51),
            PaperRow("ringformer", "vit_ring_512_l6_patch16_224", 4.40),
            PaperRow("ViT", "vit_vanilla_328_l6_patch16_224", 8.94),
            PaperRow("universal", "vit_universal_848_l6_patch16_224", 8.84),
            PaperRow("one wide FFN", "vit_owf_512_l6_patch16_224", 8.86),
            PaperRow("ringformer", "vit_ring_728_l6_patch16_224", 8.82),
        ),
        truncated=False,
        vision=True,
    ),
    3: PaperTable(
        "Table 3: image classification, 12 levels, 1,000 classes (ImageNet-1K), all parameters",
        True,
        (
            PaperRow("ViT", "vit_vanilla_768_l12_patch16_224", 86.42),
            PaperRow("one wide FFN", "vit_owf_768_l12_patch16_224", 34.45),
            PaperRow("universal", "vit_universal_768_l12_patch16_224", 8.45),
            PaperRow("ringformer", "vit_ring_768_l12_patch16_224", 12.02),
            PaperRow("universal", "vit_universal_1560_l12_patch16_224", 31.99),
            PaperRow("ringformer", "vit_ring_1284_l12_patch16_224", 31.95),
        ),
        truncated=False,
        vision=True,
    ),
    4: PaperTable(
        "Table 4: ablations, all parameters",
        True,
        (
            PaperRow("static signal", "universal_transformer_small", 20.48),
            PaperRow("w/o attention signal", "ringformer_small", 20.51, ("--attention-signal", "none")),
            PaperRow("w/o FF signal", "ringformer_small", 20.59, ("--ffn-signal", "none"),
                     SWAPPED.format(this="20.56M, printed for the other, fits this row")),
            PaperRow("before attention", "ringformer_small", 20.58, ("--attention-signal", "before")),
            PaperRow("inter-FF", "ringformer_small", 20.56, ("--ffn-signal", "inter"),
                     SWAPPED.format(this="20.56M fits the row without FF signal")),
            PaperRow("rank H/32", "ringformer_small", 20.53, ("--signal-rank", "4")),
            PaperRow("rank H/8", "ringformer_small", 20.68, ("--signal-rank", "16")),
            PaperRow("full rank", "ringformer_small", 21.27, ("--signal", "full-rank")),
            PaperRow("ours", "ringformer_small", 20.58),
        ),
    ),
}


def count_table(number: int) -> List[Dict]:
    """Count every row of a table of the paper.

    Returns:
        a dictionary per row: ``model``, ``embed_dim``, ``ffn_dim``, ``parameters``, ``published`` (as printed), ``exact``
        (the count, cut or rounded as the paper's, is the published figure), and ``note``.
    """
    table = TABLES[number]
    results = []
    for row in table.rows:
        parts, stack = (_count_classifier if table.vision else _count_translator)(row)
        inner, total = totals(parts)
        count = (total if table.total else inner).unique
        exact = (math.floor if table.truncated else round)(count / 10_000) == round(row.published * 100)
        results.append({
            "model": row.model,
            "embed_dim": stack.embed_dim,
            "ffn_dim": stack.ffn_dim,
            "parameters": count,
            "published": f"{row.published:.2f}M",
            "exact": exact,
            "note": None if exact else f"{(count - row.published * 1e6) / 1e6:+.2f}M: {row.note}",
        })
    return results


def _count_translator(row: PaperRow) -> Tuple[List[PartCount], StackConfig]:
    from .parameters import build_on_meta, count_parts

    # The paper's head has a bias; it counts in totals only.
    model = build_on_meta(row.arch, (*row.flags, "--output-bias"), VOCABULARY, VOCABULARY)
    return count_parts(model), model.encoder.stack.config


def _count_classifier(row: PaperRow) -> Tuple[List[PartCount], StackConfig]:
    from .classifiers import build_on_meta, count_parts

    model = build_on_meta(row.arch)
    return count_parts(model), model.stack.config
