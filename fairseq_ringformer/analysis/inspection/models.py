"""Models to look into, from checkpoints of translation models and of classifiers."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...errors import UserError

TEXT, IMAGES = "translation", "images"


@dataclass
class LoadedModel:
    """A checkpoint's model.

    Attributes:
        path: its file.
        kind: :data:`TEXT` or :data:`IMAGES`.
        architecture: fairseq's or timm's name.
        model: in evaluation mode, in float32.
        state: the checkpoint without its weights.
        name: what to call it in pictures.
        task: of a translation model, with the dictionaries of the data folder.
        dictionaries_compared: whether these were seen to be those of its training, symbol by symbol.
    """

    path: str
    kind: str
    architecture: str
    model: nn.Module
    state: dict[str, Any]
    name: str = ""
    task: Any = None
    dictionaries_compared: bool = False

    def describe(self) -> dict[str, str]:
        return {"path": self.path, "name": self.name, "architecture": self.architecture}


def translator(path: str, state: dict[str, Any], data: str) -> LoadedModel:
    """The translation model of `state`, which was read from `path`, with the dictionaries of the folder `data`.

    Raises:
        UserError: if it holds no such model, or one that was trained with other dictionaries.
    """
    from ...export.loading import architecture, load_model
    from ...text.fairseq_engine import build_task, check_dictionaries

    try:
        model = load_model(state)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    if hasattr(model, "set_autocast"):
        model.set_autocast("none")
    task = build_task(path, state, data, (None, None))
    compared = check_dictionaries(path, state, data, task)
    rest = {key: value for key, value in state.items() if key != "model"}
    return LoadedModel(path, TEXT, architecture(state), model, rest, task=task, dictionaries_compared=compared)


def classifier(path: str, state: dict[str, Any], ema: bool | None) -> LoadedModel:
    """The classifier of `state`, which was read from `path`; `ema`: see :func:`~...vision.checkpoint.load_classifier`.

    Raises:
        UserError: if it holds none.
    """
    from ...vision.checkpoint import model_of

    model, state = model_of(path, state, ema)
    rest = {key: value for key, value in state.items() if not key.startswith("state_dict")}
    return LoadedModel(path, IMAGES, state["arch"], model, rest)


def name_apart(models: Sequence[LoadedModel], names: Sequence[str] | None = None) -> None:
    """Give models `names`, by default architectures, else as much of the paths as tells them apart.

    Raises:
        UserError: if there are not as many, or two are the same.
    """
    if names is not None and len(names) != len(models):
        raise UserError(f"--names has {len(names)} names for {len(models)} checkpoints")
    if names is not None and len(set(names)) < len(names):
        raise UserError("--names are the same for two checkpoints: choose others")
    folders = [os.path.abspath(loaded.path).split(os.sep) for loaded in models]
    choices = [names] if names else [[loaded.architecture for loaded in models]]
    choices += [[parts[-2] for parts in folders], ["/".join(parts[-2:]) for parts in folders]]
    unique = (choice for choice in choices if len(set(choice)) == len(models))
    for loaded, name in zip(models, next(unique, [loaded.path for loaded in models])):
        loaded.name = name


def check_alike(command: str, models: Sequence[LoadedModel]) -> None:
    """UserError unless all models take the same examples; a line on standard error where that cannot be seen."""
    first = models[0]
    for other in models[1:]:
        if other.kind != first.kind:
            raise UserError(
                f"{first.path} is a model for {first.kind}, {other.path} one for {other.kind}: give models of one kind"
            )
        if first.kind == IMAGES and list(other.state["classes"]) != list(first.state["classes"]):
            raise UserError(f"{first.path} and {other.path} were trained on different classes")
        if first.kind == TEXT and _languages(other) != _languages(first):
            raise UserError(
                f"{first.path} translates {_languages(first)}, {other.path} {_languages(other)}: "
                "they have no data in common"
            )
    if first.kind == TEXT:
        _warn_of_other_data(command, models)


def _languages(loaded: LoadedModel) -> str:
    return f"{loaded.task.cfg.source_lang}-{loaded.task.cfg.target_lang}"


def _warn_of_other_data(command: str, models: Sequence[LoadedModel]) -> None:
    from ...text.fairseq_engine import training_data

    folders = [training_data(loaded.state) for loaded in models]
    for loaded, folder in zip(models, folders):
        if len(set(folders)) > 1 and not loaded.dictionaries_compared:
            print(
                f"ringformer {command}: {loaded.path} was trained on {folder or 'unknown data'}, whose dictionaries "
                "are not here to compare: make sure that they are those of --data, and not of the same size alone",
                file=sys.stderr,
            )
