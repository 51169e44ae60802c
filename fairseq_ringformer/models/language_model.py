"""Language models for fairseq's ``language_modeling`` task: the decoder alone, from the same stack, rows and options."""

from dataclasses import dataclass, field, fields, make_dataclass, replace
from typing import Any, Optional

from fairseq.dataclass import FairseqDataclass
from fairseq.models import FairseqLanguageModel, register_model, register_model_architecture
from omegaconf import II

from ..errors import UserError
from ..modules import ROWS, Architecture
from .base import StackModel
from .config import OPTIONS, RingFormerConfig, described, refuse_meaningless, refuse_unused, stack_config
from .decoder import RingFormerDecoder
from .ringformer import SIZES, RingFormerModel, set_sizes
from .signal_rate import scale_signal_rate

_SIDE = ("decoder",)  # that there is
# Options of translation that a decoder alone has no use for; those of one side alone beside them.
_OF_TRANSLATION = (
    "cross_attn_sharing",
    "share_encoder_decoder_ffn",
    "share_all_embeddings",
    "max_source_positions",
    "alignment_layer",
    "alignment_heads",
    "full_context_alignment",
)
_POSITIONS = RingFormerConfig.max_target_positions  # where neither the model nor the task says


def _is_shared(name: str) -> bool:
    of_side = name.startswith("encoder_") or name in {f"decoder_{option}" for option in OPTIONS}
    return not (of_side or name.startswith("_") or name in _OF_TRANSLATION)


_SharedConfig: Any = make_dataclass(
    "_SharedConfig",
    [
        (option.name, option.type, field(default=option.default, metadata=option.metadata))
        for option in fields(RingFormerConfig)
        if _is_shared(option.name)
    ],
    bases=(FairseqDataclass,),
)


@dataclass
class LanguageModelConfig(_SharedConfig):
    """Options of the language models: those of :class:`RingFormerConfig` that a decoder alone has, and these."""

    decoder_embed_dim: Optional[int] = described("width d, in channels; default: the architecture's")
    decoder_ffn_embed_dim: Optional[int] = described("feed-forward width, in channels; default: the architecture's")
    max_target_positions: Optional[int] = II("task.max_target_positions")
    tokens_per_sample: Optional[int] = II("task.tokens_per_sample")
    # Known from fairseq's transformer_lm: refused in words rather than unknown.
    adaptive_softmax_cutoff: Optional[str] = described("refused: the output head is one projection")
    adaptive_input: bool = described("refused: the embeddings are one table", False)


class RingFormerLanguageModel(StackModel, FairseqLanguageModel):
    """A decoder without an encoder: every level is self-attention and feed-forward, each token sees those before it.

    Args:
        cfg: the options, as a decoder's of the translation models; sizes filled in.
        decoder: see :meth:`build_model`.
    """

    architecture: Architecture

    def __init__(self, cfg: RingFormerConfig, decoder: RingFormerDecoder):
        super().__init__(decoder)
        self.cfg = cfg

    @classmethod
    def build_model(cls, cfg, task) -> "RingFormerLanguageModel":
        """Build the model for the dictionaries of `task`.

        Raises:
            UserError: for options that make no model, naming the flag.
        """
        cfg = LanguageModelConfig.from_namespace(cfg)
        set_sizes(cfg, "base", _SIDE)
        options = decoder_options(cfg)
        refuse_meaningless(options)
        stack = stack_config(options, cls.architecture, "decoder")
        refuse_unused(options, (stack,))
        source, target = task.source_dictionary, task.target_dictionary
        if options.share_decoder_input_output_embed and len(source) != len(target):
            raise UserError(
                "--share-decoder-input-output-embed ties the head to all symbols: leave --output-dictionary-size out"
            )
        embeddings = RingFormerModel.build_embedding(source, options.decoder_embed_dim, options.decoder_embed_path)
        model = cls(options, RingFormerDecoder(options, stack, target, embeddings))
        if options.signal_lr_scale != 1.0:
            scale_signal_rate(task, model, options.signal_lr_scale)
        return model


def decoder_options(cfg: LanguageModelConfig) -> RingFormerConfig:
    """The same options as a translation model's decoder has them: what the decoder, its stack and the exporters read."""
    for name, value, instead in (
        ("adaptive-softmax-cutoff", cfg.adaptive_softmax_cutoff, "the output head is one projection: leave it out"),
        ("adaptive-input", cfg.adaptive_input, "the embeddings are one table: leave it out"),
    ):
        if value:
            raise UserError(f"--{name} is not supported: {instead}")
    options = RingFormerConfig.from_namespace(cfg)
    # As in fairseq's transformer_lm, a block of text is the longest input. Without a task both are left as they came.
    told = (cfg.max_target_positions, cfg.tokens_per_sample)
    options.max_target_positions = next((length for length in told if isinstance(length, int)), _POSITIONS)
    return options


def _alone(architecture: Architecture) -> Architecture:
    """The rows of a decoder that reads no memory.

    It is what an encoder is: so One Wide FFN shares its feed-forward, where the decoder of a translator has none. Norms
    are fairseq's, one for each sub-layer; those of the paper's counts are of its translators.
    """
    row = replace(architecture.encoder, cross_attn=None, norm_per="sublayer")
    return Architecture(encoder=row, decoder=row)


def _register(name: str) -> None:
    kind = type(f"{name}_lm", (RingFormerLanguageModel,), {"architecture": _alone(ROWS[name]), "__module__": __name__})
    register_model(f"{name}_lm", dataclass=LanguageModelConfig)(kind)
    for size in SIZES:
        register_model_architecture(f"{name}_lm", f"{name}_lm_{size}")(
            lambda cfg, size=size: set_sizes(cfg, size, _SIDE)
        )


for _name in ROWS:
    _register(_name)
