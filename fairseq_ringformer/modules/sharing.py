"""Layer sharing and level signals as data: which copy of each part a level uses, and where its signals stand.

A *part* (self-attention, cross-attention, feed-forward, norm) lives in a :class:`Bank` of copies; a *sharing map* says
which copy each level takes: ``(0, 1, 2)`` gives every level its own, ``(0, 0, 0)`` one to all. The *signals* of a row name
the projections that have one, and where it stands. The architectures of the RingFormer paper (arXiv 2502.13181) are the
rows of :data:`ROWS`; a new scheme is a new row, and :func:`resolve` turns it, and what a user changes, into settings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..errors import UserError

SharingMap = tuple[int, ...]

# The copy of `level` (counted from 0), for NAME:copies; Takase & Kiyono 2021.
SCHEMES: dict[str, Callable[[int, int, int], int]] = {
    "cycle": lambda level, copies, levels: level % copies,
    "sequence": lambda level, copies, levels: level * copies // levels,
}
SHARING_FORMS = (
    f"own, one, {', '.join(f'{scheme}:K' for scheme in SCHEMES)} or one copy number per level such as 0,0,1,1,2,2"
)

AFTER, BEFORE = "after", "before"
PROJECTIONS = {
    "self_attn": ("qkv_proj", "out_proj"),
    "cross_attn": ("q_proj", "kv_proj", "out_proj"),
    "ffn": ("fc1", "fc2"),
}
SIGNALS = ("low-rank", "full-rank", "static", "steps", "none")
ADAPTIVE = ("low-rank", "full-rank")  # computed from the state; they stand at projections
COORDINATES = ("dehghani", "released")  # of static signals; see .signals.coordinate_table
RESIDUAL_SCALES = ("none", "1/N")
# Options that are short for one projection's signal, and what their values (Table 4's) mean there.
SHORT_SIGNALS = {
    "attention_signal": ("self_attn.qkv_proj", {"after": AFTER, "before": BEFORE, "none": None}),
    "ffn_signal": ("ffn.fc1", {"before": BEFORE, "inter": AFTER, "none": None}),
}


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

    def __repr__(self) -> str:
        copies = super().__repr__().removeprefix("Bank")  # ModuleList's own leaves extra_repr out
        return f"Bank[{','.join(map(str, self.sharing))}]{copies}"

    def truncate(self, levels: int) -> None:
        """Keep the first `levels` levels, and the copies that they use."""
        self.sharing = self.sharing[:levels]
        del self[max(self.sharing) + 1 :]


@dataclass(frozen=True)
class Row:
    """What the levels of one stack share, and what tells them apart.

    Args:
        self_attn, cross_attn, ffn, norm: sharing specifications (:func:`parse_sharing`); ``ffn`` may be ``none``, and
            ``cross_attn`` None, of a decoder that reads no memory (a language model's).
        ffn_norm: of the feed-forward's norm; None follows `norm`.
        norm_per: ``sublayer``, or ``level`` to reuse one norm for all the sub-layers of a level.
        signal: one of :data:`SIGNALS`.
        signals: where low-rank or full-rank signals stand: projection to ``after`` or ``before``.
    """

    self_attn: str
    cross_attn: str | None
    ffn: str
    norm: str
    ffn_norm: str | None = None
    norm_per: str = "sublayer"
    signal: str = "none"
    signals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """One row for each side of an encoder-decoder model."""

    encoder: Row
    decoder: Row


# The ring: eq. 6 (queries, keys and values) and eq. 7 (feed-forward).
RING_SIGNALS = {"self_attn.qkv_proj": AFTER, "ffn.fc1": BEFORE}

VANILLA = Row("own", "own", "own", norm="own")
UNIVERSAL = Row("one", "one", "one", norm="one", signal="static")
RING = Row("one", "one", "one", norm="own", signal="low-rank", signals=RING_SIGNALS)

# Translation (Table 1). The paper's vanilla and One Wide FFN rows reuse one norm within a level: no other reading gives
# its counts.
_VANILLA = Row("own", "own", "own", norm="own", norm_per="level")
ROWS: dict[str, Architecture] = {
    "vanilla_transformer": Architecture(_VANILLA, _VANILLA),
    "one_wide_ffn": Architecture(
        encoder=Row("own", "own", "one", norm="own", ffn_norm="one", norm_per="level"),
        decoder=Row("own", "own", "none", norm="own", ffn_norm="one", norm_per="level"),
    ),
    "universal_transformer": Architecture(UNIVERSAL, UNIVERSAL),
    "ringformer": Architecture(RING, RING),
}

# Image classification (Tables 2 and 3): an encoder alone, with a norm for each sub-layer.
VISION_ROWS: dict[str, Row] = {
    "vanilla": VANILLA,
    "owf": Row("own", "own", "one", norm="own", ffn_norm="one"),
    "universal": UNIVERSAL,
    "ring": RING,
}


def parse_sharing(spec: str, levels: int, name: str = "sharing") -> SharingMap:
    """Turn a sharing specification into a map from level to copy.

    Args:
        spec: ``own`` (a copy per level), ``one`` (one copy), ``cycle:K`` (K copies in turn: 0,1,2,0,1,2) or
            ``sequence:K`` (K copies in runs: 0,0,1,1,2,2), both of Takase & Kiyono 2021, or an explicit list such as
            ``0,1,1,1,1,2`` (Subformer's sandwich).
        levels: number of levels of the stack.
        name: what to call the option in errors.

    Raises:
        UserError: if the specification is none of these, has the wrong length, or skips a copy number.
    """
    text = str(spec).strip()
    if text == "own":
        return tuple(range(levels))
    if text == "one":
        return (0,) * levels
    scheme, _, count = text.partition(":")
    if scheme in SCHEMES:
        if not count.isdigit() or not 1 <= int(count) <= levels:
            raise UserError(f"{name}: {text!r} needs a number of copies from 1 to {levels} (the number of levels)")
        return tuple(SCHEMES[scheme](level, int(count), levels) for level in range(levels))
    try:
        sharing = tuple(int(copy) for copy in text.split(","))
    except ValueError:
        raise UserError(f"{name}: cannot read {text!r}; use {SHARING_FORMS}") from None
    if len(sharing) != levels:
        raise UserError(f"{name}: {text!r} names {len(sharing)} levels, but there are {levels}")
    missing = sorted(set(range(max(sharing) + 1)) - set(sharing))
    if min(sharing) < 0 or missing:
        gap = f"copy {missing[0]} is used by no level" if missing else "copy numbers start at 0"
        raise UserError(f"{name}: {text!r} has a gap: {gap}")
    return sharing


def parse_signals(spec: str | Mapping[str, str], name: str = "signals") -> dict[str, str]:
    """Where signals stand, from ``self_attn.qkv_proj:after,ffn.fc1:before`` or a mapping of the same.

    Raises:
        UserError: naming what is no projection, or no place of a signal.
    """
    if isinstance(spec, Mapping):
        pairs = list(spec.items())
    else:
        pairs = [tuple(part.strip() for part in entry.partition(":")[::2]) for entry in str(spec).split(",")]
    known = [f"{part}.{projection}" for part, projections in PROJECTIONS.items() for projection in projections]
    for projection, place in pairs:
        if projection not in known:
            raise UserError(f"{name}: no projection {projection!r}; there are {', '.join(known)}")
        if place not in (AFTER, BEFORE):
            raise UserError(f"{name}: {projection}:{place} is neither {projection}:{AFTER} nor {projection}:{BEFORE}")
    if len(dict(pairs)) < len(pairs):
        raise UserError(f"{name}: a projection has one signal, but one is named twice in {spec!r}")
    return dict(pairs)


def resolve(
    row: Row, overrides: Mapping[str, Any], levels: int, cross_attn: bool = False, name: Callable[[str], str] = str
) -> dict[str, Any]:
    """What `row` says of a stack, with what a user says instead: keywords of :class:`~.config.StackConfig`.

    Args:
        overrides: values by option, absent or None where the row's holds: ``self_attn_sharing``, ``cross_attn_sharing``,
            ``ffn_sharing``, ``norm_sharing``, ``ffn_norm_sharing`` (``as-norms`` follows the norms), ``norm_per``,
            ``signal``, ``signal_rank``, ``signals`` and its short forms ``attention_signal`` and ``ffn_signal``,
            ``signal_init_std``, ``coordinates``, ``position_per_level``, ``residual_scale``.
        levels: of the stack.
        cross_attn: whether it reads a memory. Signals of parts that the stack lacks are left out.
        name: what to call an option in errors.

    Raises:
        UserError: for options that cannot be read or exclude each other.
    """
    given = {option: value for option, value in overrides.items() if value is not None}

    def sharing(part: str, absent: str = "") -> SharingMap | None:
        spec = given.get(f"{part}_sharing", getattr(row, part))
        return None if spec is None or spec == absent else parse_sharing(spec, levels, name(f"{part}_sharing"))

    maps = {
        "self_attn": sharing("self_attn"),
        "cross_attn": sharing("cross_attn") if cross_attn else None,
        "ffn": sharing("ffn", absent="none"),
    }
    signal = given.get("signal", row.signal)
    if "signal_rank" in given and signal != "low-rank":
        raise UserError(f"{name('signal')} {signal} excludes {name('signal_rank')}: only low-rank signals have a rank")
    if "signal_init_std" in given and signal != "low-rank":
        raise UserError(
            f"{name('signal')} {signal} excludes {name('signal_init_std')}: only low-rank signals have a factor to draw"
        )
    position_per_level = bool(given.get("position_per_level"))
    if position_per_level and signal == "static":
        raise UserError(
            f"{name('signal')} static excludes {name('position_per_level')}: it adds positions before every level itself"
        )
    if "coordinates" in given and signal not in ("static", "steps") and not position_per_level:
        raise UserError(
            f"{name('signal')} {signal} excludes {name('coordinates')}: those are of signals static and steps, and of "
            f"{name('position_per_level')}"
        )
    residual_scale = given.get("residual_scale", "none")
    if residual_scale not in RESIDUAL_SCALES:
        raise UserError(
            f"{name('residual_scale')} {residual_scale!r} is unknown: choose one of {', '.join(RESIDUAL_SCALES)}"
        )
    signals = _resolve_signals(row, given, signal, name)
    return {
        **maps,
        "norm": sharing("norm"),
        "ffn_norm": sharing("ffn_norm", absent="as-norms"),
        "norm_per": given.get("norm_per", row.norm_per),
        "signal": signal,
        "signal_rank": given.get("signal_rank"),
        "signals": {where: place for where, place in signals.items() if maps[where.partition(".")[0]] is not None},
        "signal_init_std": given.get("signal_init_std"),
        "coordinates": given.get("coordinates", "dehghani"),
        "position_per_level": position_per_level,
        "residual_scale": 1.0 if residual_scale == "none" else 1.0 / levels,
    }


def _resolve_signals(row: Row, given: Mapping[str, Any], signal: str, name: Callable[[str], str]) -> dict[str, str]:
    short = [option for option in SHORT_SIGNALS if option in given]
    if signal not in ADAPTIVE:
        for option in ("signals", *short):
            if given.get(option, "none") != "none":
                raise UserError(
                    f"{name('signal')} {signal} excludes {name(option)}: that belongs to {' and '.join(ADAPTIVE)} signals"
                )
        return {}
    if "signals" in given:
        if short:
            raise UserError(f"{name('signals')} names every signal: leave {name(short[0])} out")
        return parse_signals(given["signals"], name("signals"))
    signals = dict(row.signals or RING_SIGNALS)
    for option in short:
        projection, places = SHORT_SIGNALS[option]
        if given[option] not in places:
            raise UserError(f"{name(option)} {given[option]!r} is unknown: choose one of {', '.join(places)}")
        signals.pop(projection, None)
        if places[given[option]] is not None:
            signals[projection] = places[given[option]]
    return signals
