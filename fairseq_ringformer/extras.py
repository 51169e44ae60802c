"""What is not installed, and which extra of setup.py brings it."""

import contextlib
import importlib.util
from collections.abc import Iterator

from .errors import UserError

# By extra: the subject of "... need PACKAGE", and the modules that the package imports itself.
EXTRAS = {
    "torch": ("models", ("torch",)),
    "fairseq": ("translation models", ("fairseq", "fairseq_cli", "omegaconf", "sacrebleu")),
    "vision": (
        "image classifiers",
        ("timm", "torchvision", "accelerate", "tensorboard", "webdataset", "onnx", "onnxruntime", "onnxscript"),
    ),
    "deploy": ("exported translators", ("ctranslate2", "sentencepiece", "sentencex")),
    "serve": ("services", ("starlette", "uvicorn")),
    "shortlist": ("shortlists", ("eflomal",)),
    "transformers": ("models of Hugging Face", ("transformers", "safetensors", "google")),
    "subwords": ("these sub-words", ("subword_nmt", "sacremoses", "tokenizers", "huggingface_hub")),
    "analysis": ("analyses", ("matplotlib", "psutil", "sklearn")),
    "recipes": ("recipes", ("lxml", "num2words")),
}
# Distributions that are not called as what one imports, where that would be no help.
CALLED = {"google": "protobuf", "sklearn": "scikit-learn"}
EXTRA_OF = {module: extra for extra, (_, modules) in EXTRAS.items() for module in modules}


class MissingPackage(UserError, ImportError):
    """A package is not installed; the text names the extra that brings it."""


def advice(extra: str) -> str:
    """How to install `extra`."""
    if extra == "torch":  # by itself it is enough for Python code alone
        return "run scripts/setup.sh fairseq (for translation) or scripts/setup.sh vision (for images) in a clone"
    return f"run scripts/setup.sh {extra} in a clone, or pip install '.[{extra}]'"


def require(*modules: str) -> None:
    """Look for installed modules without importing them.

    Args:
        modules: names out of ``EXTRAS``.

    Raises:
        MissingPackage: if one is not there.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise _missing(module)


def explain(error: ImportError) -> ImportError:
    """`error` as :class:`MissingPackage` if an extra brings what it lacks, or else itself."""
    module = (error.name or "").partition(".")[0]
    return _missing(module) if isinstance(error, ModuleNotFoundError) and module in EXTRA_OF else error


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Import what an extra brings, or raise :class:`MissingPackage`."""
    try:
        yield
    except ImportError as error:
        raise explain(error) from None


def _missing(module: str) -> MissingPackage:
    extra = EXTRA_OF[module]
    return MissingPackage(
        f"{EXTRAS[extra][0]} need {CALLED.get(module, module)}, which is not installed: {advice(extra)}"
    )
