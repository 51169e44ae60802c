"""Building the model of a checkpoint without the data that it was trained on."""

import argparse
from typing import Any

from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY, FairseqEncoderDecoderModel, build_model
from fairseq.models.transformer import TransformerModel
from fairseq.models.transformer_align import TransformerAlignModel
from fairseq.tasks.translation import TranslationTask
from omegaconf import OmegaConf

from ..errors import UserError
from ..models.base import vocabularies
from ..models.dictionaries import numbered_dictionary
from ..models.ringformer import USER_DIR, RingFormerModel

# Options of a run that must not follow its checkpoint: files that were needed for training only.
OVERRIDES = {"encoder_embed_path": None, "decoder_embed_path": None}


def architecture(state: dict[str, Any]) -> str | None:
    """The architecture that the checkpoint `state` names; None if it names none."""
    options = _options(state)
    return options.get("_name") or options.get("arch")


def _options(state: dict[str, Any]) -> dict[str, Any]:
    options = (state.get("cfg") or {}).get("model") or {}
    return dict(vars(options) if isinstance(options, argparse.Namespace) else options)


def load_model(state: dict[str, Any]) -> FairseqEncoderDecoderModel:
    """The model of the checkpoint `state`, in fp32 and evaluation mode; its dictionaries have the right sizes only.

    Raises:
        UserError: if it is neither a model of this plug-in nor fairseq's `transformer`, or cannot be built.
    """
    name = architecture(state)
    kind = ARCH_MODEL_REGISTRY.get(name) or MODEL_REGISTRY.get(name)
    if kind is None or not (issubclass(kind, RingFormerModel) or kind in (TransformerModel, TransformerAlignModel)):
        raise UserError(
            f"its architecture is {name}: neither one of this plug-in nor fairseq's transformer ({USER_DIR})"
        )
    cfg = OmegaConf.create({**_options(state), **OVERRIDES, "_name": name}, flags={"allow_objects": True})
    source, target = map(numbered_dictionary, vocabularies(state["model"]))
    task = TranslationTask(argparse.Namespace(eval_bleu=False), source, target)
    try:
        model = build_model(cfg, task, from_checkpoint=True)
        model.load_state_dict(state["model"], strict=True, model_cfg=cfg)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"its model cannot be built: {' '.join(str(error).split())[:300]}") from None
    diverged = [key for key, weight in model.named_parameters() if weight.isnan().any()]
    if diverged:
        raise UserError(f"{diverged[0]} is not a number (NaN) in places: that training has diverged")
    return model.float().eval()
