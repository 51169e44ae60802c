"""A trained model as a folder that runs without torch and fairseq: see :mod:`.ctranslate2_engine`."""

import os
from typing import Any

from fairseq.models import FairseqEncoderDecoderModel

from ..errors import UserError, about
from ..export.checkpoints import settings
from ..export.ctranslate2 import LanguageModelConverter, RingConverter
from ..export.loading import load_model
from ..export.runtime import INT8, SAFE_INT8
from ..files import whole_folder, write_text
from ..models.language_model import RingFormerLanguageModel
from .ctranslate2_engine import SHORTLIST, Recipe
from .fairseq_engine import Languages, load_for_export, read_dictionary
from .shortlist import make_shortlist
from .subwords import Subwords


def export_translator(
    path: str,
    state: dict[str, Any],
    data: str,
    languages: Languages,
    subwords: Subwords,
    output: str,
    quantization: str = "float32",
    shortlist: bool = False,
) -> FairseqEncoderDecoderModel:
    """Write weights, vocabularies, the sub-word model and a recipe to a folder, whole or not at all.

    Args:
        path: of the checkpoint.
        state: what was read from it.
        data: folder of ``fairseq-preprocess`` with the dictionaries.
        languages: source and target, for what the checkpoint and the names in `data` leave open.
        subwords: how raw text was cut before it.
        output: the folder to write.
        quantization: CTranslate2's type of the weights.
        shortlist: whether to add a vocabulary map of the training data in `data`, see :mod:`.shortlist`.

    Returns:
        the model.

    Raises:
        UserError: if these do not belong together, CTranslate2 has no such model, or the folder cannot be written.
    """
    task, model = load_for_export(path, state, data, languages)
    with about(path):
        converter = RingConverter(model, task.source_dictionary.symbols, task.target_dictionary.symbols)
    candidates = make_shortlist(task) if shortlist else None
    with whole_folder(output) as folder:
        converter.convert(folder, quantization=quantization, force=True)
        recipe = Recipe(
            source_lang=task.cfg.source_lang,
            target_lang=task.cfg.target_lang,
            **subwords.save(folder),
            # One position is for the end of the sentence.
            max_source_tokens=min(model.encoder.max_positions(), task.cfg.max_source_positions) - 1,
            max_target_tokens=min(model.decoder.max_positions(), task.cfg.max_target_positions) - 1,
            quantization=quantization,
            largest_int8=SAFE_INT8 if quantization in INT8 else None,
        )
        recipe.write(folder)
        if candidates is not None:
            write_text(os.path.join(folder, SHORTLIST), candidates)
    return model


def export_language_model(
    path: str, state: dict[str, Any], data: str, output: str, quantization: str = "float32"
) -> RingFormerLanguageModel:
    """Write weights and vocabulary to a folder for CTranslate2's ``Generator``, whole or not at all.

    Args:
        path: of the checkpoint.
        state: what was read from it.
        data: folder of ``fairseq-preprocess --only-source`` with its ``dict.txt``.
        output: the folder to write.
        quantization: CTranslate2's type of the weights.

    Returns:
        the model.

    Raises:
        UserError: if these do not belong together, CTranslate2 has no such model, or the folder cannot be written.
    """
    dictionary = read_dictionary(os.path.join(data, "dict.txt"))
    with about(path):
        model = load_model(state)
        if not isinstance(model, RingFormerLanguageModel):
            raise UserError("fairseq's own transformer_lm: CTranslate2's ct2-fairseq-converter converts it")
        starts_with_bos = bool(settings(state, "task").get("add_bos_token"))
        converter = LanguageModelConverter(model, dictionary.symbols, starts_with_bos)
    with whole_folder(output) as folder:
        converter.convert(folder, quantization=quantization, force=True)
    return model
