"""Which fairseq there is, and torch's safe loader for its checkpoints."""

import argparse
import contextlib
import importlib.abc
import importlib.metadata
import importlib.util
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator

INSTALL = "pip install fairseq-fixed"


def check_fairseq(required: bool = True) -> bool:
    """Whether a usable fairseq is installed; looks at the installation only, imports nothing.

    Args:
        required: raise where it is missing.

    Raises:
        ImportError: if fairseq is missing and `required`, or if it is the release 0.12.2 or older, which does not import
            on Python 3.11 and writes encoder layers twice.
    """
    if importlib.util.find_spec("fairseq") is None:
        if required:
            raise ImportError(f"fairseq is not installed: {INSTALL}")
        return False
    try:
        importlib.metadata.version("fairseq-fixed")
        return True
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        version = importlib.metadata.version("fairseq")
    except importlib.metadata.PackageNotFoundError:
        return True  # a source tree on the path: its owner knows what it is
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < (0, 12, 3):
        raise ImportError(
            f"fairseq {version} is too old for this plug-in: pip uninstall fairseq, then {INSTALL} "
            "(the same code with fixes for Python 3.11 and 3.12; it imports as fairseq)"
        )
    return True


def when_imported(
    name: str,
    action: Callable[[], None],
    around: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
) -> None:
    """Call `action` once the top-level module `name` is imported: now if it is already, else when something imports it.

    The import then runs in the context that `around` makes.
    """
    if sys.modules.get(name) is not None:
        action()
        return

    class Watcher(importlib.abc.MetaPathFinder):
        """Stays until the module is imported: many only ask whether it is there, and throw away what they find."""

        def find_spec(self, wanted, path=None, target=None):
            if wanted != name:
                return None
            others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
            spec = next(filter(None, (finder.find_spec(wanted, path, target) for finder in others)), None)
            if spec is not None and spec.loader is not None:
                execute = spec.loader.exec_module

                def execute_then_act(module):
                    with around():
                        execute(module)
                    if self in sys.meta_path:
                        sys.meta_path.remove(self)
                    action()

                spec.loader.exec_module = execute_then_act
            return spec

    sys.meta_path.insert(0, Watcher())


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

    multiarray = numpy._core.multiarray if hasattr(numpy, "_core") else numpy.core.multiarray
    # numpy 1 and 2 call the same functions differently, and read each other's.
    functions = [
        (getattr(multiarray, function), f"numpy.{core}.multiarray.{function}")
        for core in ("core", "_core")
        for function in ("scalar", "_reconstruct")
    ]
    kinds = ("float16", "float32", "float64", "int32", "int64", "bool")
    dtypes = [type(numpy.dtype(kind)) for kind in kinds]
    arrays = [*functions, numpy.ndarray, numpy.dtype]
    # With its name: timm allows the plain class while it loads a checkpoint, and takes it off the list afterwards.
    namespace = (argparse.Namespace, "argparse.Namespace")
    torch.serialization.add_safe_globals([namespace, *arrays, *dtypes])


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
