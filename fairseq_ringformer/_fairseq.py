"""Which fairseq there is, and torch's safe loader for its checkpoints."""

import argparse
import contextlib
import importlib.metadata
import logging
import re
import types
import warnings
from collections.abc import Iterator

from .extras import MissingPackage, require


def check_fairseq() -> None:
    """Look at the installation, before fairseq is imported.

    Raises:
        MissingPackage: if fairseq is missing, or if it is the release 0.12.2 or older, which does not import on Python
            3.11 and writes encoder layers twice.
    """
    require("fairseq")
    versions = {}
    for name in ("fairseq", "fairseq-fixed"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    # Neither is a source tree on the path: its owner knows what it is.
    if list(versions) != ["fairseq"]:
        return
    version = versions["fairseq"]
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < (0, 12, 3):
        raise MissingPackage(
            f"fairseq {version} is too old for this plug-in: pip uninstall fairseq, then pip install fairseq-fixed "
            "(the same code with fixes for Python 3.11 and 3.12; it imports as fairseq)"
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Standard error is for what the user should know: keep fairseq's log, Hydra's and torch's warnings out of it."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Import fairseq without the notices that are not for its users: deprecated TorchScript, optional packages."""
    logging.getLogger("fairseq.tasks.text_to_speech").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def allow_safe_loading() -> None:
    """Let ``torch.load(weights_only=True)`` read fairseq's checkpoints: plain containers of arguments and numbers.

    They hold `argparse.Namespace` and, after validation with BLEU, numpy scalars and arrays. Nothing here can run code.
    """
    import numpy
    import torch

    # numpy 1 and 2 call the same functions differently, and read each other's.
    functions = {"scalar": numpy.float64(0).__reduce__()[0], "_reconstruct": numpy.empty(0).__reduce__()[0]}
    named = [(functions[name], f"numpy.{core}.multiarray.{name}") for core in ("core", "_core") for name in functions]
    kinds = ("float16", "float32", "float64", "int32", "int64", "bool")
    dtypes = [type(numpy.dtype(kind)) for kind in kinds]
    # With its name: timm allows the plain class while it loads a checkpoint, and takes it off the list afterwards.
    namespace = (argparse.Namespace, "argparse.Namespace")
    torch.serialization.add_safe_globals([namespace, *named, numpy.ndarray, numpy.dtype, *dtypes])


def allow_broadcast_loading() -> None:
    """Let torch's safe loader read the options that fairseq reads from a checkpoint and sends on to other processes.

    When several processes resume, the first reads the checkpoint and broadcasts it, options already as OmegaConf's
    containers; the others unpickle them. Nothing here can run code.
    """
    import collections
    import typing

    import omegaconf
    import torch
    from fairseq.distributed.utils import _TensorPlaceholder  # where a tensor, sent apart, belongs
    from omegaconf.base import ContainerMetadata, Metadata

    containers = [omegaconf.DictConfig, omegaconf.ListConfig, ContainerMetadata, Metadata, omegaconf.AnyNode]
    plain = [dict, list, int, float, str, bool, collections.defaultdict, typing.Any]
    torch.serialization.add_safe_globals([*containers, *plain, _TensorPlaceholder])


def allow_line_blocks() -> None:
    """Let fairseq's language models cut text line by line with numpy 2, which lacks the ``np.compat`` that it asks for.

    fairseq-interactive and the hub interface always cut so, fairseq-train with ``--sample-break-mode eos``.
    """
    import numpy
    from fairseq.data import token_block_dataset

    if not hasattr(numpy, "compat"):
        with_compat = types.ModuleType("numpy")
        vars(with_compat).update(vars(numpy), compat=types.SimpleNamespace(long=int))
        token_block_dataset.np = with_compat
