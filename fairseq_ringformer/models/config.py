"""Every option of the translation models, as one flat dataclass that fairseq turns into flags and Hydra keys.

Sizes and sharing default to None, "as the architecture says": a flag that is given always wins over the architecture,
on the command line and under Hydra alike.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Sequence

from fairseq import utils
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from ..errors import UserError
from ..modules import Architecture, StackConfig, parse_signals, resolve
from ..modules.kernels import gelu
from ..modules.projection import INITS
from ..modules.sharing import COORDINATES, RESIDUAL_SCALES, SHARING_FORMS, SHORT_SIGNALS, SIGNALS

SIDES = ("encoder", "decoder")
NORM_EPS = 1e-5  # fairseq's own transformer has no other
# What a row says and a flag changes; those of sharing for one side, too.
OPTIONS = (
    "sharing",
    "self_attn_sharing",
    "cross_attn_sharing",
    "ffn_sharing",
    "ffn_widths",
    "norm_sharing",
    "ffn_norm_sharing",
    "norm_per",
    "signal",
    "signal_rank",
    "signals",
    *SHORT_SIGNALS,
    "signal_init_std",
    "coordinates",
    "residual_scale",
)


def described(what: str, default: Any = None) -> Any:
    """A field with `what` as the help of its flag."""
    return field(default=default, metadata={"help": what})


def _sharing(part: str, extra: str = "") -> Optional[str]:
    return described(
        f"which levels share {part}: {SHARING_FORMS}{extra}; "
        "default: the architecture's (RingFormer, sections 3 and 4.1)"
    )


def _side(side: str, flag: str) -> Optional[str]:
    return described(f"--{flag} for the {side} alone; wins over it")


def _size(what: str) -> Optional[int]:
    return described(f"{what}; default: the architecture's (RingFormer, appendix A.1)")


@dataclass
class RingFormerConfig(FairseqDataclass):
    """Options of `ringformer`, `universal_transformer`, `one_wide_ffn` and `vanilla_transformer`.

    Papers: RingFormer is arXiv 2502.13181; Universal Transformer 1807.03819; One Wide FFN 2309.01826.
    """

    # Sizes
    encoder_embed_dim: Optional[int] = _size("encoder width d, in channels")
    encoder_ffn_embed_dim: Optional[int] = _size("encoder feed-forward width, in channels")
    encoder_layers: Optional[int] = _size("encoder levels N: how often the block runs")
    encoder_attention_heads: Optional[int] = _size("encoder attention heads; must divide the width")
    decoder_embed_dim: Optional[int] = described("decoder width d, in channels; default: the encoder's")
    decoder_ffn_embed_dim: Optional[int] = described("decoder feed-forward width, in channels; default: the encoder's")
    decoder_layers: Optional[int] = _size("decoder levels N: how often the block runs")
    decoder_attention_heads: Optional[int] = _size("decoder attention heads; must divide the width")

    # Sharing
    sharing: Optional[str] = _sharing("whole layers, norms included", "; a flag of one part wins over it")
    encoder_sharing: Optional[str] = _side("encoder", "sharing")
    decoder_sharing: Optional[str] = _side("decoder", "sharing")
    self_attn_sharing: Optional[str] = _sharing("self-attention")
    encoder_self_attn_sharing: Optional[str] = _side("encoder", "self-attn-sharing")
    decoder_self_attn_sharing: Optional[str] = _side("decoder", "self-attn-sharing")
    cross_attn_sharing: Optional[str] = _sharing("cross-attention (decoder only)")
    decoder_cross_attn_sharing: Optional[str] = _side("decoder", "cross-attn-sharing")
    ffn_sharing: Optional[str] = _sharing("the feed-forward", ", or none for no feed-forward (One Wide FFN's NoDec)")
    encoder_ffn_sharing: Optional[str] = _side("encoder", "ffn-sharing")
    decoder_ffn_sharing: Optional[str] = _side("decoder", "ffn-sharing")
    ffn_widths: Optional[str] = described(
        "feed-forward widths, one for each copy, where copies differ: 2048,6144,2048 for own first and last "
        "levels around a wider middle (--ffn-sharing 0,1,1,1,1,2); default: all as --encoder-ffn-embed-dim"
    )
    encoder_ffn_widths: Optional[str] = _side("encoder", "ffn-widths")
    decoder_ffn_widths: Optional[str] = _side("decoder", "ffn-widths")
    norm_sharing: Optional[str] = _sharing("layer norms")
    encoder_norm_sharing: Optional[str] = _side("encoder", "norm-sharing")
    decoder_norm_sharing: Optional[str] = _side("decoder", "norm-sharing")
    ffn_norm_sharing: Optional[str] = _sharing("the feed-forward's norm", ", or as-norms to follow --norm-sharing")
    encoder_ffn_norm_sharing: Optional[str] = _side("encoder", "ffn-norm-sharing")
    decoder_ffn_norm_sharing: Optional[str] = _side("decoder", "ffn-norm-sharing")
    norm_per: Optional[ChoiceEnum(["sublayer", "level"])] = described(
        "one norm for each sub-layer, or one for all the sub-layers of a level (as the counts of "
        "Table 1 imply for its vanilla and One Wide FFN rows); default: the architecture's"
    )
    share_encoder_decoder_ffn: bool = described(
        "encoder and decoder use the same feed-forward copies (One Wide FFN's SharedEncDec, "
        "arXiv 2309.01826, with --ffn-sharing one)",
        False,
    )

    # Signals
    signal: Optional[ChoiceEnum(list(SIGNALS))] = described(
        "what tells levels apart: low-rank (eq. 6 and 7), full-rank (Table 4), diagonal or low-rank+diagonal "
        "(ResidualTransformer, arXiv 2310.02489), static (the coordinate embedding of Universal Transformers), steps "
        "(its coordinates of the level, positions at the input) or none; default: the architecture's"
    )
    signal_rank: Optional[int] = described(
        "rank r of low-rank signals, 1 to the width; default: width // 16 (section 4.1), at least 1"
    )
    signals: Optional[str] = described(
        "every signal that is computed from the state, by the projection at which it stands, as in eq. 6 and "
        "7: self_attn.qkv_proj:after,ffn.fc1:before (also self_attn.out_proj, cross_attn.q_proj, cross_attn.kv_proj, "
        "cross_attn.out_proj, ffn.fc2); default: the architecture's"
    )
    attention_signal: Optional[ChoiceEnum(list(SHORT_SIGNALS["attention_signal"][1]))] = described(
        "signal of queries, keys and values after their projections (eq. 6), before them (Table 4) or "
        "none; default: after, where the signal is computed from the state"
    )
    ffn_signal: Optional[ChoiceEnum(list(SHORT_SIGNALS["ffn_signal"][1]))] = described(
        "signal of the feed-forward before its first projection (eq. 7), after it (inter, Table 4) or "
        "none; default: before, where the signal is computed from the state"
    )
    signal_init_std: Optional[float] = described(
        "deviation that the factor of low-rank signals that is not zero starts with; default: 1 / sqrt(the "
        "channels that it reads)"
    )
    signal_lr_scale: float = described("learning rate of level signals, as a multiple of that of everything else", 1.0)
    coordinates: Optional[ChoiceEnum(list(COORDINATES))] = described(
        "sinusoids of --signal static and steps: dehghani (arXiv 1807.03819), or released, with a frequency for each "
        "channel, as in the baseline that the RingFormer paper compares with; default: dehghani"
    )
    residual_scale: Optional[ChoiceEnum(list(RESIDUAL_SCALES))] = described(
        "constant in front of every sub-layer's output: 1/N, N the levels of its side, or none (1)"
    )
    init: ChoiceEnum(list(INITS)) = described(
        "how all weights but embeddings and signals start: xavier (the output head like embeddings), or "
        "normal-0.02, the output head too",
        "xavier",
    )

    # As in fairseq's own transformer
    encoder_normalize_before: bool = described("pre-norm encoder (the paper: post-norm)", False)
    decoder_normalize_before: bool = described("pre-norm decoder (the paper: post-norm)", False)
    attn_bias: bool = described("biases in attention projections (the paper: none)", False)
    ffn_bias: bool = described("biases in the feed-forward (the paper: none)", False)
    output_bias: bool = described(
        "bias in the output head (the paper's has one; stock models that a ring folds into have none)", False
    )
    activation_fn: ChoiceEnum(utils.get_available_activation_fns()) = described(
        "activation of the feed-forward", "gelu"
    )
    dropout: float = described("dropout on embeddings and on each sub-layer's output", 0.1)
    attention_dropout: float = described("dropout on attention weights", 0.0)
    activation_dropout: float = described("dropout after the activation", 0.1)
    encoder_learned_pos: bool = described("learned encoder positions instead of sinusoids", False)
    decoder_learned_pos: bool = described("learned decoder positions instead of sinusoids", False)
    no_token_positional_embeddings: bool = described("no position embeddings at the input", False)
    share_decoder_input_output_embed: bool = described("tie the output head to the decoder's embeddings", False)
    share_all_embeddings: bool = described(
        "one table for encoder, decoder and output head (needs a joined dictionary and equal widths)", False
    )
    encoder_embed_path: Optional[str] = described("text file of encoder embeddings")
    decoder_embed_path: Optional[str] = described("text file of decoder embeddings")
    layernorm_embedding: bool = described("layer norm on the embedded input", False)
    no_scale_embedding: bool = described("do not scale embeddings by sqrt(width)", False)
    norm_eps: float = described("epsilon of every layer norm", NORM_EPS)
    max_source_positions: int = described("longest source, in tokens", 1024)
    max_target_positions: int = described("longest target, in tokens", 1024)
    autocast: ChoiceEnum(["none", "bf16"]) = described(
        "bf16: compute in bfloat16, on CPUs and GPUs, with weights, optimizer, softmax and loss in float32; "
        "kept in checkpoints, and changed for one command by --model-overrides",
        "none",
    )
    exit_level: Optional[int] = described(
        "at inference, by --model-overrides \"{'exit_level': K}\": run the first K levels of the decoder alone, its "
        "final norm and its head behind them"
    )
    checkpoint_activations: bool = described(
        "keep only the state between levels and recompute the rest in the backward pass: less memory, "
        "about a third more time",
        False,
    )

    # As in fairseq's transformer_align (arXiv 1909.02074): the attention that --criterion
    # label_smoothed_cross_entropy_with_alignment supervises.
    alignment_layer: Optional[int] = described(
        "decoder level whose cross-attention is supervised, counted from 0; default: the last"
    )
    alignment_heads: Optional[int] = described("average over the first so many heads of it; default: all")
    full_context_alignment: bool = described("align with a second pass that sees the whole target", False)

    # Known from fairseq's transformer, without a meaning here: refused in words rather than ignored.
    encoder_layerdrop: float = described("refused: a ring has no layers to drop", 0.0)
    decoder_layerdrop: float = described("refused: a ring has no layers to drop", 0.0)
    encoder_layers_to_keep: Optional[str] = described("refused: a ring has no layers to prune")
    decoder_layers_to_keep: Optional[str] = described("refused: a ring has no layers to prune")
    offload_activations: bool = described("refused: use --checkpoint-activations", False)


def refuse_meaningless(cfg: RingFormerConfig) -> None:
    """Raise UserError for options that a stack of shared levels cannot honour, or that lie outside their range."""
    for side in SIDES:
        if getattr(cfg, f"{side}_layerdrop"):
            raise UserError(f"--{side}-layerdrop has no meaning here: levels share weights, none can be dropped")
        if getattr(cfg, f"{side}_layers_to_keep"):
            raise UserError(
                f"--{side}-layers-to-keep has no meaning here: levels share weights, none can be pruned; "
                f"set the number of levels with --{side}-layers"
            )
    if cfg.offload_activations:
        raise UserError("--offload-activations is not supported: use --checkpoint-activations")
    if not 0 < cfg.norm_eps < math.inf:
        raise UserError(f"--norm-eps {cfg.norm_eps} must be above 0")
    if not 0 < cfg.signal_lr_scale < math.inf:
        raise UserError(f"--signal-lr-scale {cfg.signal_lr_scale} must be above 0")
    for option in ("max_source_positions", "max_target_positions"):
        if getattr(cfg, option) < 1:
            raise UserError(f"--{option} {getattr(cfg, option)} must be at least 1".replace("_", "-"))
    for option, choices in (
        ("alignment_layer", range(cfg.decoder_layers)),
        ("exit_level", range(1, cfg.decoder_layers + 1)),
        ("alignment_heads", range(1, cfg.decoder_attention_heads + 1)),
    ):
        value = getattr(cfg, option)
        if value is not None and value not in choices:
            flag = "--" + option.replace("_", "-")
            raise UserError(f"{flag} {value} must lie between {choices.start} and {choices.stop - 1}")
    if cfg.share_encoder_decoder_ffn:
        for size in ("embed_dim", "ffn_embed_dim"):
            if getattr(cfg, f"encoder_{size}") != getattr(cfg, f"decoder_{size}"):
                raise UserError(
                    f"--share-encoder-decoder-ffn needs equal widths: --encoder-{size} and --decoder-{size}".replace(
                        "_", "-"
                    )
                )


def stack_config(cfg: RingFormerConfig, architecture: Architecture, side: str) -> StackConfig:
    """The stack of one side, from the flags: the side's flag, else the common one, else the architecture's row.

    Raises:
        UserError: naming the flag, for options that contradict each other or the sizes.
    """
    levels = getattr(cfg, f"{side}_layers")
    if levels < 1:
        raise UserError(f"--{side}-layers {levels}: a stack needs at least one level")
    given = {option: getattr(cfg, option) for option in OPTIONS}
    flags = {option: "--" + option.replace("_", "-") for option in OPTIONS}
    for option in OPTIONS:
        of_side = getattr(cfg, f"{side}_{option}", None)
        if of_side is not None:
            given[option], flags[option] = of_side, f"--{side}-{option}".replace("_", "-")
    sharing = resolve(getattr(architecture, side), given, levels, cross_attn=side == "decoder", name=flags.__getitem__)
    for option in (f"{side}_learned_pos", "no_token_positional_embeddings"):
        if sharing["signal"] == "static" and getattr(cfg, option):
            flag = "--" + option.replace("_", "-")
            raise UserError(f"--signal static excludes {flag}: it adds sinusoids before every level")
    if sharing["ffn"] is None and getattr(cfg, f"{side}_ffn_norm_sharing") is not None:
        raise UserError(f"--{side}-ffn-norm-sharing has no meaning here: there is no feed-forward in the {side}")
    try:
        return StackConfig(
            embed_dim=getattr(cfg, f"{side}_embed_dim"),
            num_heads=getattr(cfg, f"{side}_attention_heads"),
            ffn_dim=getattr(cfg, f"{side}_ffn_embed_dim"),
            **sharing,
            pre_norm=getattr(cfg, f"{side}_normalize_before"),
            attn_bias=cfg.attn_bias,
            ffn_bias=cfg.ffn_bias,
            norm_eps=cfg.norm_eps,
            init=str(cfg.init),
            memory_dim=cfg.encoder_embed_dim,
            activation=_activation(str(cfg.activation_fn)),
            dropout=cfg.dropout,
            attention_dropout=cfg.attention_dropout,
            activation_dropout=cfg.activation_dropout,
            checkpoint_activations=cfg.checkpoint_activations,
        )
    except UserError as error:
        raise UserError(f"{side}: {error}") from None


def refuse_unused(cfg: RingFormerConfig, stacks: Sequence[StackConfig]) -> None:
    """UserError for an option of a part that no side of the model has, `stacks` being its sides."""
    for projection in parse_signals(cfg.signals, "--signals") if cfg.signals else ():
        if not any(projection in stack.signals for stack in stacks):
            raise UserError(f"--signals: no side of this model has {projection}")
    for option in ("ffn_norm_sharing", "ffn_signal", "ffn_bias"):
        if getattr(cfg, option) not in (None, "none", False) and all(stack.ffn is None for stack in stacks):
            raise UserError(f"--{option} has no meaning here: there is no feed-forward".replace("_", "-"))


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    # fairseq's own computes in float32 whatever the type, and then rounds: torch's rounds the same, at once.
    return gelu if name == "gelu" else utils.get_activation_fn(name)
