"""Building the model of a checkpoint without the data that it was trained on."""

import argparse
from collections.abc import Iterator
from typing import Any

from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY, BaseFairseqModel, build_model
from fairseq.models.transformer import TransformerModel
from fairseq.models.transformer_align import TransformerAlignModel
from fairseq.models.transformer_lm import TransformerLanguageModel
from fairseq.tasks.language_modeling import LanguageModelingTask
from fairseq.tasks.translation import TranslationTask
from omegaconf import OmegaConf

from ..errors import UserError, one_line
from ..models.base import OVERRIDES, StackModel, vocabularies
from ..models.dictionaries import numbered_dictionary
from ..models.language_model import RingFormerLanguageModel
from ..models.ringformer import USER_DIR
from .checkpoints import settings

STOCK = (TransformerModel, TransformerAlignModel, TransformerLanguageModel)


def architecture(state: dict[str, Any]) -> str | None:
    """The architecture that the checkpoint `state` names; None if it names none."""
    options = settings(state, "model")
    return options.get("_name") or options.get("arch")


def is_language_model(state: dict[str, Any]) -> bool:
    """Whether the checkpoint `state` is of a language model, of this plug-in or fairseq's own."""
    return issubclass(_kind(state) or object, (RingFormerLanguageModel, TransformerLanguageModel))


def _kind(state: dict[str, Any]) -> type[BaseFairseqModel] | None:
    name = architecture(state)
    return ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY.get(name)


def load_model(state: dict[str, Any]) -> BaseFairseqModel:
    """The model of the checkpoint `state`, in fp32 and evaluation mode; its dictionaries have the right sizes only.

    Raises:
        UserError: if it is neither a model of this plug-in nor fairseq's `transformer` or `transformer_lm`, or cannot be built.
    """
    name, kind = architecture(state), _kind(state)
    if kind is None or not (issubclass(kind, StackModel) or kind in STOCK):
        raise UserError(
            f"its architecture is {name}: neither one of this plug-in nor fairseq's transformer ({USER_DIR})"
        )
    cfg = OmegaConf.create({**settings(state, "model"), **OVERRIDES, "_name": name}, flags={"allow_objects": True})
    source, target = map(numbered_dictionary, vocabularies(state["model"]))
    if is_language_model(state):
        head = state["model"].get("decoder.output_projection.weight")
        target = source if head is None else numbered_dictionary(len(head))
        task = LanguageModelingTask(argparse.Namespace(), source, target)
    else:
        task = TranslationTask(argparse.Namespace(eval_bleu=False), source, target)
    try:
        model = build_model(cfg, task, from_checkpoint=True)
        model.load_state_dict(state["model"], strict=True, model_cfg=cfg)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"its model cannot be built: {one_line(error)}") from None
    diverged = [key for key, weight in model.named_parameters() if weight.isnan().any()]
    if diverged:
        raise UserError(f"{diverged[0]} is not a number (NaN) in places: that training has diverged")
    return model.float().eval()


def flags_without_export(model: BaseFairseqModel) -> Iterator[str]:
    """The flags that gave `model`, fairseq's own, what no exporter has."""
    decoder = model.decoder
    if getattr(decoder, "adaptive_softmax", None) is not None:
        yield "--adaptive-softmax-cutoff"
    if model.cfg.decoder_normalize_before and getattr(decoder, "layer_norm", True) is None:
        yield "--no-decoder-final-norm"
    if getattr(decoder, "project_out_dim", None) is not None:
        yield "--decoder-output-dim"
