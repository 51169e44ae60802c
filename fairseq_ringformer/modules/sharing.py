"""Layer sharing and level signals as data: which copy of each part a level uses, and where its signals stand.

A *part* (self-attention, cross-attention, feed-forward, norm) lives in a :class:`Bank` of copies; a *sharing map* says
which copy each level takes: ``(0, 1, 2)`` gives every level its own, ``(0, 0, 0)`` one to all. The *signals* of a row name
the projections that have one, and where it stands. The architectures of the RingFormer paper (arXiv 2502.13181) are the
rows of :data:`ROWS`; a new scheme is a new row, and :func:`resolve` turns it, and what a user changes, into settings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from ..errors import UserError

SharingMap = tuple[int, ...]

# The copy of `level` (counted from 0), for NAME:copies; Takase & Kiyono 2021 (arXiv 2104.06022).
SCHEMES: dict[str, Callable[[int, int, int], int]] = {
    "cycle": lambda level, copies, levels: level % copies,
    "sequence": lambda level, copies, levels: level * copies // levels,
    "cycle_rev": lambda level, copies, levels: (
        level % copies if level < max(copies, (levels - 1) // copies * copies) else copies - 1 - level % copies
    ),
}
# Before a scheme: the first and the last level have copies of their own, the scheme is that of the levels between
# (Mixture-of-Recursions, arXiv 2507.10524).
MIDDLE = "middle_"
SHARING_FORMS = (
    f"own, one, {', '.join(f'{scheme}:K' for scheme in SCHEMES)}, {MIDDLE}cycle:K (own first and last levels) or one copy "
    "number per level such as 0,0,1,1,2,2"
)

AFTER, BEFORE = "after", "before"
PROJECTIONS = {
    "self_attn": ("qkv_proj", "out_proj"),
    "cross_attn": ("q_proj", "kv_proj", "out_proj"),
    "ffn": ("fc1", "fc2"),
}
# Computed from the state; they stand at projections. A sum has a matrix of each kind.
ADAPTIVE = ("low-rank", "full-rank", "diagonal", "low-rank+diagonal")
RANKED = ("low-rank", "low-rank+diagonal")  # those with a rank
SIGNALS = (*ADAPTIVE, "static", "steps", "none")
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
        signals: where adaptive ones (:data:`ADAPTIVE`) stand: projection to ``after`` or ``before``.
        halting: whether every position ends its loop by itself (:mod:`.halting`).
    """

    self_attn: str
    cross_attn: str | None
    ffn: str
    norm: str
    ffn_norm: str | None = None
    norm_per: str = "sublayer"
    signal: str = "none"
    signals: Mapping[str, str] = field(default_factory=dict)
    halting: bool = False


@dataclass(frozen=True)
class Architecture:
    """One row for each side of an encoder-decoder model."""

    encoder: Row
    decoder: Row


# The ring: eq. 6 (queries, keys and values) and eq. 7 (feed-forward).
RING_SIGNALS = {"self_attn.qkv_proj": AFTER, "ffn.fc1": BEFORE}

VANILLA = Row("own", "own", "own", norm="own")
UNIVERSAL = Row("one", "one", "one", norm="one", signal="static")
UNIVERSAL_ACT = replace(UNIVERSAL, halting=True)
RING = Row("one", "one", "one", norm="own", signal="low-rank", signals=RING_SIGNALS)

# Translation (Table 1). The paper's vanilla and One Wide FFN rows reuse one norm within a level: no other reading gives
# its counts.
ROWS: dict[str, Architecture] = {
    "vanilla_transformer": Architecture(replace(VANILLA, norm_per="level"), replace(VANILLA, norm_per="level")),
    "one_wide_ffn": Architecture(
        encoder=Row("own", "own", "one", norm="own", ffn_norm="one", norm_per="level"),
        decoder=Row("own", "own", "none", norm="own", ffn_norm="one", norm_per="level"),
    ),
    "universal_transformer": Architecture(UNIVERSAL, UNIVERSAL),
    "universal_transformer_act": Architecture(UNIVERSAL_ACT, UNIVERSAL_ACT),
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
        spec: ``own`` (a copy per level), ``one`` (one copy), ``cycle:K`` (K copies in turn: 0,1,2,0,1,2),
            ``sequence:K`` (in runs: 0,0,1,1,2,2) or ``cycle_rev:K`` (the last K backwards: 0,1,2,2,1,0), all of Takase &
            Kiyono 2021; ``middle_cycle:K`` and the like (K copies, two of them the first level's and the last one's:
            0,1,2,1,2,3); or an explicit list such as ``0,1,1,1,1,2`` (Subformer's sandwich).
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
    ends = 2 if scheme.startswith(MIDDLE) else 0
    if (scheme := scheme.removeprefix(MIDDLE)) in SCHEMES:
        least = ends + 1
        if not count.isdigit() or not least <= int(count) <= levels:
            raise UserError(
                f"{name}: {text!r} needs a number of copies from {least} to {levels} (the number of levels)"
            )
        copies, between = int(count), levels - ends
        sharing = tuple(SCHEMES[scheme](level, copies - ends, between) for level in range(between))
        return (0, *(1 + copy for copy in sharing), copies - 1) if ends else sharing
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


def parse_widths(spec: str | Sequence[int], sharing: SharingMap | None, name: str = "ffn_widths") -> tuple[int, ...]:
    """Hidden channels of each copy of a feed-forward with the map `sharing`, from ``2048,6144,2048`` or a sequence.

    Raises:
        UserError: if it is not one width above 0 for each copy.
    """
    copies = 0 if sharing is None else max(sharing) + 1
    try:
        widths = tuple(int(width) for width in (spec.split(",") if isinstance(spec, str) else spec))
    except (TypeError, ValueError):
        raise UserError(f"{name}: cannot read {spec!r}; use one width for each copy, such as 2048,6144,2048") from None
    if len(widths) != copies or min(widths) < 1:
        raise UserError(f"{name}: {spec!r} is not a width for each copy of the feed-forward, which has {copies}")
    return widths


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


def parse_exits(spec: str, levels: int, model: str) -> list[int]:
    """The levels before the last that also learn to be the last, counted from 1 and in order, from ``2,4``.

    Args:
        spec: empty: all of them.
        levels: how many there are.
        model: what the errors call it.

    Raises:
        UserError: if `spec` is no such list, or there are no such levels.
    """
    try:
        exits = sorted(set(map(int, spec.split(",")))) if spec else list(range(1, levels))
    except ValueError:
        raise UserError(f"--exit-levels {spec}: give numbers with commas between them: 2,4") from None
    if not exits or exits[0] < 1 or exits[-1] >= levels:
        raise UserError(f"--exit-levels {spec}: {model} has levels 1 to {levels - 1} before its last one")
    return exits


def resolve(
    row: Row, overrides: Mapping[str, Any], levels: int, cross_attn: bool = False, name: Callable[[str], str] = str
) -> dict[str, Any]:
    """What `row` says of a stack, with what a user says instead: keywords of :class:`~.config.StackConfig`.

    Args:
        overrides: values by option, absent or None where the row's holds: ``sharing`` of whole layers, norms included;
            ``self_attn_sharing``, ``cross_attn_sharing``, ``ffn_sharing``, ``norm_sharing``, ``ffn_norm_sharing``
            (``as-norms`` follows the norms), which win over it; ``norm_per``, ``ffn_widths`` (of each copy), ``signal``,
            ``signal_rank``, ``signals`` and its short forms ``attention_signal`` and ``ffn_signal``,
            ``signal_init_std``, ``coordinates``, ``residual_scale``.
        levels: of the stack.
        cross_attn: whether it reads a memory. Signals of parts that the stack lacks are left out.
        name: what to call an option in errors.

    Raises:
        UserError: for options that cannot be read or exclude each other.
    """
    given = {option: value for option, value in overrides.items() if value is not None}

    whole = given.get("sharing")
    if whole is not None:
        row = replace(row, self_attn=whole, cross_attn=whole, ffn=whole, norm=whole, ffn_norm=None)

    def sharing(part: str, absent: str = "") -> SharingMap | None:
        option = f"{part}_sharing"
        spec = given.get(option, getattr(row, part))
        if spec is None or spec == absent:
            return None
        return parse_sharing(spec, levels, name(option if option in given or whole is None else "sharing"))

    maps = {
        "self_attn": sharing("self_attn"),
        "cross_attn": sharing("cross_attn") if cross_attn else None,
        "ffn": sharing("ffn", absent="none"),
    }
    widths = None
    if "ffn_widths" in given:
        widths = parse_widths(given["ffn_widths"], maps["ffn"], name("ffn_widths"))
    signal = str(given.get("signal", row.signal))  # fairseq's choices are enumerations
    _refuse_unused(given, signal, name)
    residual_scale = given.get("residual_scale", "none")
    if residual_scale not in RESIDUAL_SCALES:
        raise UserError(
            f"{name('residual_scale')} {residual_scale!r} is unknown: choose one of {', '.join(RESIDUAL_SCALES)}"
        )
    signals = _resolve_signals(row, given, signal, name)
    return {
        **maps,
        "ffn_widths": widths,
        "norm": sharing("norm"),
        "ffn_norm": sharing("ffn_norm", absent="as-norms"),
        "norm_per": given.get("norm_per", row.norm_per),
        "signal": signal,
        "signal_rank": given.get("signal_rank"),
        "signals": {where: place for where, place in signals.items() if maps[where.partition(".")[0]] is not None},
        "signal_init_std": given.get("signal_init_std"),
        "coordinates": given.get("coordinates", "dehghani"),
        "residual_scale": 1.0 if residual_scale == "none" else 1.0 / levels,
        "halting": row.halting,
    }


def _refuse_unused(given: Mapping[str, Any], signal: str, name: Callable[[str], str]) -> None:
    """UserError for an option that means nothing beside `signal`."""
    for option, is_used, why in (
        ("signal_rank", signal in RANKED, "only low-rank signals have a rank"),
        ("signal_init_std", signal in RANKED, "only low-rank signals have a factor to draw"),
        ("coordinates", signal in ("static", "steps"), "those are of signals static and steps"),
        *(
            (option, signal in ADAPTIVE, f"that belongs to {', '.join(ADAPTIVE)} signals")
            for option in ("signals", *SHORT_SIGNALS)
        ),
    ):
        if not is_used and given.get(option, "none") != "none":
            raise UserError(f"{name('signal')} {signal} excludes {name(option)}: {why}")


def _resolve_signals(row: Row, given: Mapping[str, Any], signal: str, name: Callable[[str], str]) -> dict[str, str]:
    if signal not in ADAPTIVE:
        return {}
    short = [option for option in SHORT_SIGNALS if option in given]
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
