"""A trained translator as a folder of Hugging Face's transformers: model, search and tokenizer."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .. import extras
from ..errors import about
from ..files import whole_folder
from .stream import longest_output
from .subwords import Subwords

if TYPE_CHECKING:
    from .fairseq_engine import Languages

FORMAT = "transformers"
KINDS = ("fsmt", "m2m_100")
MODEL, CONFIG = "model.safetensors", "config.json"
CONTENT = {MODEL, CONFIG, "generation_config.json", "tokenizer.json", "tokenizer_config.json"}


def holds_model(folder: str) -> bool:
    """Whether `folder` is as :func:`export_to_transformers` writes it, and nothing else is in it."""
    try:
        with open(os.path.join(folder, CONFIG), encoding="utf-8") as stream:
            return json.load(stream)["model_type"] in KINDS and set(os.listdir(folder)) == CONTENT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def export_to_transformers(
    path: str, state: dict[str, Any], data: str, languages: "Languages", subwords: Subwords, output: str
) -> tuple[Any, str]:
    """Write a folder for ``AutoModelForSeq2SeqLM`` and ``AutoTokenizer``, whole or not at all.

    Args:
        path: of the checkpoint.
        state: what was read from it.
        data: folder of ``fairseq-preprocess`` with the dictionaries.
        languages: source and target, for what the checkpoint and the names in `data` leave open.
        subwords: how raw text was cut before it.
        output: the folder to write.

    Returns:
        the model, and the name of its class in transformers.

    Raises:
        UserError: if these do not belong together, transformers has no such model or no such tokenizer, or the folder
            cannot be written.
    """
    with extras.named():
        from ..export.transformers import to_transformers
        from .hf_tokenizer import build_tokenizer
    from .fairseq_engine import load_for_export

    task, ring = load_for_export(path, state, data, languages)
    with about(path):
        symbols = task.source_dictionary.symbols, task.target_dictionary.symbols
        longest = min(ring.encoder.max_positions(), task.cfg.max_source_positions)
        tokenizer, rows = build_tokenizer(subwords, *symbols, longest)
        model = to_transformers(ring, rows, (task.cfg.source_lang, task.cfg.target_lang), longest_output(1))
    with whole_folder(output) as folder, _no_progress_bars():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        # safetensors writes for the user alone.
        shutil.copymode(os.path.join(folder, CONFIG), os.path.join(folder, MODEL))
    return ring, type(model).__name__


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
