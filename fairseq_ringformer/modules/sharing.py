"""Layer sharing as data: which copy of a part each level uses.

A *part* (self-attention, cross-attention, feed-forward, norm) lives in a :class:`Bank` of copies; a *sharing map* says
which copy each level takes. ``(0, 1, 2)`` gives every level its own copy, ``(0, 0, 0)`` one copy to all. The
architectures of the RingFormer paper (arXiv 2502.13181) are the rows of :data:`ROWS`; a new scheme is a new row.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

SharingMap = tuple[int, ...]

SHARING_FORMS = "own, one, cycle:K, sequence:K or one copy number per level such as 0,0,1,1,2,2"


def parse_sharing(spec: str, levels: int, name: str = "sharing") -> SharingMap:
    """Turn a sharing specification into a map from level to copy.

    Args:
        spec: ``own`` (a copy per level), ``one`` (one copy), ``cycle:K`` (K copies in turn: 0,1,2,0,1,2) or
            ``sequence:K`` (K copies in runs: 0,0,1,1,2,2), both of Takase & Kiyono 2021, or an explicit list such as
            ``0,1,1,1,1,2`` (Subformer's sandwich).
        levels: number of levels of the stack.
        name: what to call the option in errors.

    Raises:
        ValueError: if the specification is none of these, has the wrong length, or skips a copy number.
    """
    text = str(spec).strip()
    if text == "own":
        return tuple(range(levels))
    if text == "one":
        return (0,) * levels
    scheme, _, count = text.partition(":")
    if scheme in ("cycle", "sequence"):
        if not count.isdigit() or not 1 <= int(count) <= levels:
            raise ValueError(f"{name}: {text!r} needs a number of copies from 1 to {levels} (the number of levels)")
        copies = int(count)
        if scheme == "cycle":
            return tuple(level % copies for level in range(levels))
        return tuple(level * copies // levels for level in range(levels))
    try:
        sharing = tuple(int(copy) for copy in text.split(","))
    except ValueError:
        raise ValueError(f"{name}: cannot read {text!r}; use {SHARING_FORMS}") from None
    if len(sharing) != levels:
        raise ValueError(f"{name}: {text!r} names {len(sharing)} levels, but there are {levels}")
    missing = sorted(set(range(max(sharing) + 1)) - set(sharing))
    if min(sharing) < 0 or missing:
        gap = f"copy {missing[0]} is used by no level" if missing else "copy numbers start at 0"
        raise ValueError(f"{name}: {text!r} has a gap: {gap}")
    return sharing


class Bank(nn.ModuleList):
    """The copies of one part, and the map from level to copy.

    Every copy is registered once, so a checkpoint holds it once however many levels use it.

    Args:
        make: builds one copy.
        sharing: copy number of each level.
    """

    def __init__(self, make: Callable[[], nn.Module], sharing: SharingMap):
        super().__init__(make() for _ in range(max(sharing) + 1))
        self.sharing = tuple(sharing)

    def at(self, level: int) -> nn.Module:
        """The copy that `level` (counted from 0) uses."""
        return self[self.sharing[level]]

    def truncate(self, levels: int) -> None:
        """Keep the first `levels` levels, and the copies that they use."""
        self.sharing = self.sharing[:levels]
        del self[max(self.sharing) + 1 :]

    def extra_repr(self) -> str:
        return f"sharing={self.sharing}"


@dataclass(frozen=True)
class Row:
    """What the levels of one stack share, and what tells them apart. Values are sharing specifications.

    ``ffn`` may be ``none`` (no feed-forward sub-layer). ``ffn_norm=None`` means that the feed-forward's norm follows
    ``norm``; ``norm_per="level"`` reuses one norm for all the sub-layers of a level.
    """

    self_attn: str
    cross_attn: str
    ffn: str
    norm: str
    signal: str = "none"
    ffn_norm: str | None = None
    norm_per: str = "sublayer"


@dataclass(frozen=True)
class Architecture:
    """One row for each side of an encoder-decoder model."""

    encoder: Row
    decoder: Row


def _both(row: Row) -> Architecture:
    return Architecture(encoder=row, decoder=row)


# The paper's vanilla and One Wide FFN rows reuse one norm within a level: Table 1's counts fit no other reading.
ROWS: dict[str, Architecture] = {
    "vanilla_transformer": _both(Row("own", "own", "own", norm="own", norm_per="level")),
    "one_wide_ffn": Architecture(
        encoder=Row("own", "own", "one", norm="own", ffn_norm="one", norm_per="level"),
        decoder=Row("own", "own", "none", norm="own", ffn_norm="one", norm_per="level"),
    ),
    "universal_transformer": _both(Row("one", "one", "one", norm="one", signal="static")),
    "ringformer": _both(Row("one", "one", "one", norm="own", signal="low-rank")),
}

# Image classification (Tables 2 and 3): an encoder alone, with a norm for each sub-layer.
VISION_ROWS: dict[str, Row] = {
    "vanilla": Row("own", "own", "own", norm="own"),
    "owf": Row("own", "own", "one", norm="own", ffn_norm="one"),
    "universal": ROWS["universal_transformer"].encoder,
    "ring": ROWS["ringformer"].encoder,
}
