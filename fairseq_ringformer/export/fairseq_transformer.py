"""A ring as a checkpoint of fairseq's own `transformer`, or `transformer_lm`: no plug-in, no unsafe loading."""

import argparse
import enum
from typing import Any

from fairseq.models import ARCH_CONFIG_REGISTRY
from torch import Tensor

from ..errors import UserError
from ..models.base import StackModel
from ..models.config import NORM_EPS, RingFormerConfig
from ..models.language_model import RingFormerLanguageModel
from .folding import plain_layers, with_biases

# Options that both models have, and what they mean is the same.
SIDE_OPTIONS = ("embed_dim", "attention_heads", "normalize_before", "learned_pos")
COMMON_OPTIONS = (
    "activation_fn",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "no_token_positional_embeddings",
    "share_decoder_input_output_embed",
    "layernorm_embedding",
    "no_scale_embedding",
    "max_target_positions",
)
TRANSLATION_OPTIONS = ("share_all_embeddings", "max_source_positions")
ALIGN = "transformer_align"  # fairseq's transformer that learns alignments
# The version of fairseq's state dicts from which a pre-norm stack ends in a norm.
VERSION = 3.0


def fold_checkpoint(state: dict[str, Any], model: StackModel) -> dict[str, Any]:
    """The checkpoint of fairseq's `transformer`, or `transformer_lm`, that equals `model`.

    Args:
        state: the checkpoint of `model`; its settings other than the model's are kept, as plain containers.
        model: in evaluation mode, in fp32.

    Raises:
        UserError: if there is no such transformer, saying why and what to do.
    """
    common = {**(state["cfg"].get("common") or {}), "user_dir": None}
    cfg = {**state["cfg"], "common": common, "model": transformer_options(model)}
    return {**plain_containers({**state, "args": None, "cfg": cfg, "model": None}), "model": transformer_state(model)}


def transformer_options(model: StackModel) -> dict[str, Any]:
    """The options of the `transformer`, or `transformer_lm`, that :func:`transformer_state` fits."""
    cfg: RingFormerConfig = model.cfg
    alone = isinstance(model, RingFormerLanguageModel)
    name = "transformer_lm" if alone else "transformer"
    options: dict[str, Any] = {"_name": name, "arch": name}
    for side, host in model.sides.items():
        stack = host.stack
        options.update((f"{side}_{name}", getattr(cfg, f"{side}_{name}")) for name in SIDE_OPTIONS)
        options[f"{side}_layers"] = stack.levels
        # A stack without feed-forward gets one of a single channel.
        options[f"{side}_ffn_embed_dim"] = max(stack.config.ffn_dims, default=1)
    options.update((name, getattr(cfg, name)) for name in COMMON_OPTIONS)
    options["decoder_input_dim"] = options["decoder_output_dim"] = cfg.decoder_embed_dim
    if alone:  # whose other options are the task's, until they are said
        return plain_containers(
            {**options, "tokens_per_sample": cfg.max_target_positions, "add_bos_token": False, "tpu": False}
        )
    options.update((name, getattr(cfg, name)) for name in TRANSLATION_OPTIONS)
    if model.alignment["alignment_layer"] is not None:
        options.update(model.alignment, full_context_alignment=model.full_context_alignment, _name=ALIGN, arch=ALIGN)
        # A model of the old kind: it reads every option from the checkpoint.
        args = argparse.Namespace(**options)
        ARCH_CONFIG_REGISTRY[ALIGN](args)
        options = vars(args)
    return plain_containers(options)


def transformer_state(model: StackModel) -> dict[str, Tensor]:
    """The weights of `model` under the names of fairseq's `transformer`; biases that it lacks are zero.

    Raises:
        UserError: if the model has static signals, an output bias or another norm, which that transformer has not.
    """
    if any(key.endswith(("output_bias", "output_projection.bias")) for key in model.state_dict()):
        raise UserError(
            "the model has an output bias, fairseq's transformer has none: train without --output-bias, or use "
            "ringformer export --to ctranslate2, which keeps it"
        )
    if model.cfg.norm_eps != NORM_EPS:
        raise UserError(
            f"the model's norms have an epsilon of {model.cfg.norm_eps}, fairseq's transformer knows {NORM_EPS} alone: "
            "use ringformer export --to ctranslate2, which keeps it"
        )
    like = model.decoder.embed_tokens.weight.detach()
    state = {key: weight.detach() for key, weight in model.state_dict().items() if ".stack." not in key}
    for side, host in model.sides.items():
        stack = host.stack
        for level, layer in enumerate(with_biases(plain_layers(stack))):
            state.update((f"{side}.layers.{level}.{key}", weight) for key, weight in layer.items())
        if stack.final_norm is not None:
            state.update((f"{side}.layer_norm.{key}", weight) for key, weight in stack.final_norm.state_dict().items())
        state[f"{side}.version"] = like.new_tensor([VERSION])
    if model.cfg.share_all_embeddings:
        state["decoder.embed_tokens.weight"] = state["encoder.embed_tokens.weight"]
    return {"decoder.output_projection.weight": state["decoder.embed_tokens.weight"], **state}


def plain_containers(value: Any) -> Any:
    """`value` with namespaces as dictionaries, and numpy's numbers and enumerations as Python's own."""
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, dict):
        return {key: plain_containers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_containers(item) for item in value]
    if isinstance(value, enum.Enum):
        return plain_containers(value.value)
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "tolist") and not isinstance(value, Tensor):
        return value.tolist()
    return value
