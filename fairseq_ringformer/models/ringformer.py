"""The models and architectures that ``--user-dir fairseq_ringformer`` adds to fairseq.

One class builds them all; they differ in their row of the sharing table (:data:`fairseq_ringformer.modules.ROWS`) and
architectures in numbers only.
"""

import contextlib
import glob
import os
from collections.abc import Sequence

from fairseq import utils
from fairseq.models import FairseqEncoderDecoderModel, register_model, register_model_architecture
from fairseq.tasks.language_modeling import LanguageModelingTask
from torch import Tensor, nn

from ..errors import UserError
from ..files import read_checkpoint
from ..modules import ROWS, Architecture, Halting
from ..text.prepared import recipe_subwords
from ..text.subwords import FILES, Subwords
from .assets import assets_of, remember, unpacked
from .base import OVERRIDES, StackModel
from .config import SIDES, RingFormerConfig, refuse_meaningless, refuse_unused, stack_config
from .decoder import RingFormerDecoder
from .encoder import RingFormerEncoder
from .signal_rate import scale_signal_rate

# Embedding width, feed-forward width, heads, levels per side. Small is the ablations' size, base and large are Table
# 1's (RingFormer, section 4 and appendix A.1); tiny trains within minutes on two CPU cores.
SIZES = {
    "tiny": dict(embed_dim=192, ffn_embed_dim=768, attention_heads=4, layers=3),
    "small": dict(embed_dim=128, ffn_embed_dim=512, attention_heads=8, layers=6),
    "base": dict(embed_dim=512, ffn_embed_dim=2048, attention_heads=8, layers=6),
    "large": dict(embed_dim=1024, ffn_embed_dim=4096, attention_heads=16, layers=6),
}

# What to say of a name that nothing here has registered.
USER_DIR = "one of your own: ringformer --user-dir DIR, the folder that registers it"


def set_sizes(cfg, size: str, sides: Sequence[str] = SIDES) -> None:
    """Fill in the sizes that `cfg` (a namespace or config) leaves open with those of `size`."""
    for name, value in SIZES[size].items():
        for side in sides:
            if getattr(cfg, f"{side}_{name}", None) is None:
                setattr(cfg, f"{side}_{name}", value)
            # As in fairseq's transformer, the decoder's widths follow the encoder's, its depth and heads do not.
            if name in ("embed_dim", "ffn_embed_dim"):
                value = getattr(cfg, f"{side}_{name}")


@register_model("ringformer", dataclass=RingFormerConfig)
class RingFormerModel(StackModel, FairseqEncoderDecoderModel):
    """RingFormer (arXiv 2502.13181): one block per side, run N times, with low-rank level signals.

    Its subclasses are the paper's baselines, from the same code.

    Args:
        cfg: the options, sizes filled in.
        encoder, decoder: see :meth:`build_model`.
    """

    architecture: Architecture = ROWS["ringformer"]

    def __init__(self, cfg: RingFormerConfig, encoder: RingFormerEncoder, decoder: RingFormerDecoder):
        super().__init__(encoder, decoder)
        self.cfg = cfg
        self.supports_align_args = True
        # As TransformerAlignModel has them; fairseq's generator reads the second.
        self.alignment = {"alignment_layer": cfg.alignment_layer, "alignment_heads": cfg.alignment_heads}
        self.full_context_alignment = cfg.full_context_alignment
        if cfg.alignment_layer is None and (cfg.alignment_heads is not None or cfg.full_context_alignment):
            self.alignment["alignment_layer"] = decoder.stack.levels - 1

    @classmethod
    def build_model(cls, cfg, task) -> "RingFormerModel":
        """Build the model for the dictionaries of `task`.

        Raises:
            UserError: for options that make no model, naming the flag.
        """
        if isinstance(task, LanguageModelingTask):
            raise UserError(
                "--task language_modeling: this model translates, those with _lm are for it (ringformer_lm_base)"
            )
        # Of a class of one's own, with options of its own, as it was registered.
        cfg = getattr(cls, "__dataclass", RingFormerConfig).from_namespace(cfg)
        set_sizes(cfg, "base")
        refuse_meaningless(cfg)
        encoder_stack = stack_config(cfg, cls.architecture, "encoder")
        decoder_stack = stack_config(cfg, cls.architecture, "decoder")
        refuse_unused(cfg, (encoder_stack, decoder_stack))
        shares_ffn = cfg.share_encoder_decoder_ffn
        if shares_ffn and (encoder_stack.ffn is None or decoder_stack.ffn is None):
            raise UserError("--share-encoder-decoder-ffn needs a feed-forward on both sides: set --ffn-sharing one")
        source, target = task.source_dictionary, task.target_dictionary
        embeddings = cls.build_embeddings(cfg, source, target)
        encoder = RingFormerEncoder(cfg, encoder_stack, source, embeddings["encoder"])
        decoder = RingFormerDecoder(
            cfg,
            decoder_stack,
            target,
            embeddings["decoder"],
            own_embeddings=not cfg.share_all_embeddings,
            ffn_bank=encoder.stack.ffn if shares_ffn else None,
        )
        # The criterion that learns alignments reads the attention of every training pass.
        decoder.need_attn = bool(getattr(getattr(task, "cfg", None), "load_alignments", False))
        remember(task)
        model = cls(cfg, encoder, decoder)
        if cfg.signal_lr_scale != 1.0:
            scale_signal_rate(task, model, cfg.signal_lr_scale)
        return model

    @classmethod
    def from_pretrained(
        cls, model_name_or_path: str, checkpoint_file: str = "model.pt", data_name_or_path: str = ".", **options
    ):
        """fairseq's hub interface of a trained model, whose ``translate`` takes and gives raw text.

        Args:
            model_name_or_path: folder of the checkpoint.
            checkpoint_file: its name, or several as an ensemble with colons between them.
            data_name_or_path: folder of the dictionaries; by default what the checkpoint carries, else its own folder.
            options: of fairseq: ``bpe``, ``sentencepiece_model``, ``beam`` ...; by default sub-words as the checkpoint
                carries them. A ``user_dir`` is not needed: this class is imported.
        """
        package = __name__.partition(".")[0]
        if os.path.basename(os.path.abspath(options.get("user_dir") or "")) == package:
            del options["user_dir"]  # whichever copy it names, this one is running
        options = {**OVERRIDES, **options}
        with contextlib.ExitStack() as stack:
            first = os.path.join(model_name_or_path, checkpoint_file.split(os.pathsep)[0])
            beside = glob.glob(os.path.join(glob.escape(model_name_or_path), "dict.*.txt"))
            if data_name_or_path == "." and not beside and os.path.isfile(first):
                assets = assets_of(read_checkpoint(first))
                if assets is not None:
                    data_name_or_path = stack.enter_context(unpacked(assets))
                    languages = dict(zip(("source_lang", "target_lang"), assets["languages"]))
                    options = {**languages, **hub_options(recipe_subwords(data_name_or_path)), **options}
            return super().from_pretrained(model_name_or_path, checkpoint_file, data_name_or_path, **options)

    @classmethod
    def build_embeddings(cls, cfg: RingFormerConfig, source, target) -> dict[str, nn.Embedding]:
        """Token embeddings of both sides; the same module with ``--share-all-embeddings``."""
        encoder = cls.build_embedding(source, cfg.encoder_embed_dim, cfg.encoder_embed_path)
        if not cfg.share_all_embeddings:
            decoder = cls.build_embedding(target, cfg.decoder_embed_dim, cfg.decoder_embed_path)
            return {"encoder": encoder, "decoder": decoder}
        if source != target:
            raise UserError(
                "--share-all-embeddings needs a joined dictionary: run fairseq-preprocess with --joined-dictionary"
            )
        if cfg.encoder_embed_dim != cfg.decoder_embed_dim:
            raise UserError("--share-all-embeddings needs --encoder-embed-dim equal to --decoder-embed-dim")
        if cfg.decoder_embed_path and cfg.decoder_embed_path != cfg.encoder_embed_path:
            raise UserError("--share-all-embeddings excludes a --decoder-embed-path of its own")
        return {"encoder": encoder, "decoder": encoder}

    @classmethod
    def build_embedding(cls, dictionary, embed_dim: int, path: str | None = None) -> nn.Embedding:
        """Embeddings of `dictionary`, normal with deviation ``embed_dim ** -0.5``, padding zero; or read from `path`."""
        embedding = nn.Embedding(len(dictionary), embed_dim, padding_idx=dictionary.pad())
        nn.init.normal_(embedding.weight, std=embed_dim**-0.5)
        nn.init.zeros_(embedding.weight[dictionary.pad()])
        if path:
            utils.load_embedding(utils.parse_embedding(path), dictionary, embedding)
        return embedding

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor | None,
        prev_output_tokens: Tensor,
        return_all_hiddens: bool = False,
        **options,
    ):
        """Scores `(batch, tgt_len, vocabulary)` and extras; `options` go to the decoder.

        With ``--full-context-alignment`` the attention among the extras is that of a second pass, in which every
        position sees the whole target (arXiv 1909.02074, section 4.2).
        """
        encoder_out = self.encoder(src_tokens, src_lengths, return_all_hiddens=return_all_hiddens)
        options = {**self.alignment, **options}
        scores, extra = self.decoder(
            prev_output_tokens, encoder_out=encoder_out, return_all_hiddens=return_all_hiddens, **options
        )
        if encoder_out["halting"]:
            extra.setdefault("halting", {})["encoder"] = Halting(*encoder_out["halting"])
        if self.full_context_alignment:
            options["full_context_alignment"] = options["features_only"] = True
            extra["attn"] = self.decoder(prev_output_tokens, encoder_out=encoder_out, **options)[1]["attn"]
        return scores, extra


def hub_options(subwords: Subwords | None) -> dict[str, str]:
    """What fairseq's hub interface calls these sub-words."""
    if subwords is None:
        return {}
    options = {"bpe": subwords.bpe, "tokenizer": subwords.tokenizer}
    if subwords.bpe is not None:
        options[FILES[subwords.bpe]] = subwords.model
    return {name: value for name, value in options.items() if value is not None}


@register_model("universal_transformer", dataclass=RingFormerConfig)
class UniversalTransformerModel(RingFormerModel):
    """Universal Transformer (arXiv 1807.03819) without adaptive halting: all shared, coordinate embeddings."""

    architecture = ROWS["universal_transformer"]


@register_model("universal_transformer_act", dataclass=RingFormerConfig)
class UniversalTransformerACTModel(RingFormerModel):
    """Universal Transformer with adaptive halting: the levels are the most that a position runs.

    Train it with ``--criterion label_smoothed_cross_entropy_with_ponder``, which makes long runs cost something.
    """

    architecture = ROWS["universal_transformer_act"]


@register_model("one_wide_ffn", dataclass=RingFormerConfig)
class OneWideFFNModel(RingFormerModel):
    """One Wide FFN (arXiv 2309.01826) as the RingFormer paper ran it: SharedEncNoDec, not widened."""

    architecture = ROWS["one_wide_ffn"]


@register_model("vanilla_transformer", dataclass=RingFormerConfig)
class VanillaTransformerModel(RingFormerModel):
    """Transformer (arXiv 1706.03762) with own weights at every level: the baseline."""

    architecture = ROWS["vanilla_transformer"]


def _register_architectures() -> None:
    for model in ROWS:
        for size in SIZES:
            register_model_architecture(model, f"{model}_{size}")(lambda cfg, size=size: set_sizes(cfg, size))


_register_architectures()
