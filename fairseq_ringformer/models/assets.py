"""What a checkpoint carries besides weights, so that it travels without its data folder.

A training puts it among the state of fairseq's task, which every checkpoint keeps: languages, dictionaries, and the
recipe beside the data with the files that it names (the sub-word model, for one). Plain text and bytes: torch's safe
loader reads it, and a fairseq without this plug-in passes over it.
"""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.tasks import FairseqTask

from ..errors import UserError
from ..text.prepared import RECIPE, find_recipe

KEY = "ringformer"  # in the state of the task
Assets = dict[str, Any]


def collect(
    source: Dictionary, target: Dictionary, languages: tuple[str, str], found: tuple[str, dict[str, Any]] | None
) -> Assets:
    """What translating needs besides weights.

    Args:
        found: a recipe, and the folder that it lies in; see :func:`~..text.prepared.find_recipe`.

    Returns:
        ``languages``; ``dictionaries``, the text of each ``dict.LANGUAGE.txt``; ``recipe``, what ``recipe.json`` says, or
        None; ``files``, the content of each file that it names, as bytes in a tensor.
    """
    texts = [_text(dictionary) for dictionary in (source, target)]
    if texts[0] == texts[1]:
        texts[1] = texts[0]  # one string: a checkpoint then holds it once
    recipe, files = None, {}
    if found is not None:
        folder, recipe = found[0], dict(found[1])
        for name, value in recipe.items():
            path = os.path.join(folder, value) if isinstance(value, str) else ""
            if os.path.isfile(path):
                recipe[name] = os.path.basename(path)
                with open(path, "rb") as stream:
                    files[recipe[name]] = torch.frombuffer(bytearray(stream.read()), dtype=torch.uint8)
    return {"languages": list(languages), "dictionaries": texts, "recipe": recipe, "files": files}


def remember(task: FairseqTask) -> None:
    """Put the assets of `task` where its checkpoints keep them; nothing if it is no translation of binarised data.

    Raises:
        UserError: if a checkpoint has put there dictionaries that are not the task's: it is being loaded beside other data.
    """
    cfg = getattr(task, "cfg", None)
    languages = getattr(cfg, "source_lang", None), getattr(cfg, "target_lang", None)
    data = getattr(cfg, "data", None)
    if not all(languages) or not isinstance(data, str) or getattr(task, "state", None) is None:
        return
    check_symbols({"task_state": task.state.state_dict}, "the checkpoint", task, data)
    with contextlib.suppress(ValueError, OSError):  # a recipe that is damaged is no reason not to train
        folder = data if os.path.isdir(data) else data.split(os.pathsep)[0]
        assets = collect(task.source_dictionary, task.target_dictionary, languages, find_recipe(folder))
        task.state.merge_state_dict({KEY: assets})


def assets_of(state: Mapping[str, Any]) -> Assets | None:
    """The assets that the checkpoint `state` carries; None if it has none, or they are not whole."""
    held = (state.get("task_state") or {}).get(KEY)
    try:
        whole = len(held["languages"]) == len(held["dictionaries"]) == 2 and isinstance(held["files"], dict)
    except (TypeError, KeyError):
        return None
    return held if whole else None


@contextlib.contextmanager
def unpacked(assets: Assets) -> Iterator[str]:
    """A folder, while the context lasts, with the dictionaries, the recipe and its files, as a data folder has them.

    Raises:
        UserError: if the names of the files lead out of it.
    """
    texts = {f"dict.{language}.txt": text for language, text in zip(assets["languages"], assets["dictionaries"])}
    if assets["recipe"] is not None:
        texts[RECIPE] = json.dumps({**assets["recipe"], "bin": "."})
    with tempfile.TemporaryDirectory(prefix="ringformer-") as folder:
        contents = {name: text.encode() for name, text in texts.items()}
        for name, content in {**contents, **assets["files"]}.items():
            if os.path.basename(name) != name or name in ("", os.curdir, os.pardir):
                raise UserError(f"a checkpoint that carries a file of the name {name!r} is refused")
            with open(os.path.join(folder, name), "wb") as stream:
                stream.write(content if isinstance(content, bytes) else content.numpy().tobytes())
        yield folder


def check_symbols(state: Mapping[str, Any], path: str, task: FairseqTask, data: str) -> bool:
    """Require that `task`, with the dictionaries of `data`, has those that the checkpoint `state` of `path` carries.

    Returns:
        whether it carries any.

    Raises:
        UserError: naming the first entry that differs.
    """
    assets = assets_of(state)
    if assets is None:
        return False
    known = [dictionary(text) for text in assets["dictionaries"]]
    for side, here, there in zip(("source", "target"), (task.source_dictionary, task.target_dictionary), known):
        difference = first_difference(here, there)
        if difference is not None:
            raise UserError(
                f"the data folder {data} has other dictionaries than {path} was trained with: on the {side} side {difference}"
            )
    return True


def first_difference(one: Dictionary, trained: Dictionary) -> str | None:
    """Which entry is another in two dictionaries, and how, in words; None if there is none."""
    for entry, (symbol, known) in enumerate(zip(one.symbols, trained.symbols)):
        if symbol != known:
            return f"entry {entry} is {symbol!r} against {known!r}"
    return None


def dictionary(text: str) -> Dictionary:
    """The dictionary of the text of a ``dict.LANGUAGE.txt``."""
    found = Dictionary()
    found.add_from_file(io.StringIO(text))
    return found


def _text(one: Dictionary) -> str:
    stream = io.StringIO()
    one.save(stream)
    return stream.getvalue()
