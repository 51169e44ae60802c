"""Checkpoints of translation models on the command line: their names, and the data that belongs to them."""

import os
from contextlib import ExitStack
from typing import Any

from ..errors import UserError


def split_paths(text: str) -> list[str]:
    """The checkpoints of ``--path``, between colons, which may also stand in the name of a file that is there."""
    parts, paths = text.split(os.pathsep), []
    while parts:
        files = [end for end in range(len(parts), 0, -1) if os.path.isfile(os.pathsep.join(parts[:end]))]
        end = next(iter(files), 1)
        paths.append(os.pathsep.join(parts[:end]))
        parts = parts[end:]
    return paths


def data_folder(data: str | None, path: str, state: dict[str, Any], stack: ExitStack) -> str:
    """The folder of ``--data``, or else one of what the checkpoint `state`, which was read from `path`, carries.

    Args:
        stack: closes the latter at its end.

    Raises:
        UserError: if there is neither.
    """
    if data is not None:
        if not os.path.isdir(data):
            raise UserError(f"{data}: no such data folder")
        return data
    from ..models.assets import assets_of, unpacked

    assets = assets_of(state)
    if assets is None:
        raise UserError(
            f"{path} carries no dictionaries: give --data DIR, the folder that fairseq-preprocess has written"
        )
    return stack.enter_context(unpacked(assets))
