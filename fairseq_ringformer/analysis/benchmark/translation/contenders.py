"""The models that are compared: built from options alone, with random weights and the same task."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY, BaseFairseqModel, FairseqEncoderDecoderModel
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from ....models.dictionaries import numbered_dictionary
from ....models.ringformer import RingFormerModel

STOCK = "transformer"
VOCABULARY = re.compile(r"(^|\.)(embed_tokens|output_projection|output_bias)(\.|$)")


@dataclass(frozen=True)
class Contender:
    """How to build one model; small and picklable, so that a child process can build it again.

    Attributes:
        name: as tables show it.
        arch: registered architecture, ours or fairseq's.
        options: model options as the command line would set them, by name.
        vocabulary: dictionary entries of each side, special symbols included.
        seed: of the weights.
        quantization: if not empty, the model runs in CTranslate2 with this compute type, and only generates.
    """

    name: str
    arch: str
    options: dict[str, Any] = field(default_factory=dict)
    vocabulary: int = 8000
    seed: int = 1
    quantization: str = ""

    def namespace(self) -> argparse.Namespace:
        """The options with the architecture's numbers filled in."""
        args = argparse.Namespace(arch=self.arch, **self.options)
        ARCH_CONFIG_REGISTRY[self.arch](args)
        return args

    def build(self, task: TranslationTask) -> BaseFairseqModel:
        """The model with random weights, on the device that torch builds on.

        Raises:
            ValueError: if the options make no model.
        """
        torch.manual_seed(self.seed)
        try:
            return ARCH_MODEL_REGISTRY[self.arch].build_model(self.namespace(), task)
        except (ValueError, AssertionError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.arch} cannot be built: {' '.join(str(error).split()) or repr(error)}") from None

    def build_on_meta(self, task: TranslationTask) -> BaseFairseqModel:
        """As :meth:`build`, without allocating a weight."""
        with torch.device("meta"):
            return self.build(task)


def build_task(vocabulary: int) -> TranslationTask:
    """A translation task whose two sides share one dictionary of `vocabulary` entries.

    Raises:
        ValueError: if that is fewer than fairseq's special symbols.
    """
    special = Dictionary().nspecial
    if vocabulary <= special:
        raise ValueError(f"a vocabulary of {vocabulary} is too small: fairseq's special symbols are {special}")
    dictionary = numbered_dictionary(vocabulary)
    return TranslationTask(TranslationConfig(source_lang="source", target_lang="target"), dictionary, dictionary)


def choose(
    ours: str,
    baseline: str,
    flags: Sequence[str],
    own_flags: Sequence[str],
    vocabulary: int,
    seed: int,
    autocast: str = "none",
    quantizations: Sequence[str] = (),
) -> list[Contender]:
    """The contenders of a benchmark, the baseline first.

    Args:
        ours: architecture that is compared.
        baseline: architecture it is compared with. fairseq's plain ``transformer`` gets every option that both know
            from `ours` (sizes, dropout, activation, norm order, shared embeddings ...); any other keeps its own
            numbers.
        flags: model flags for both; own_flags: model flags for `ours` alone.
        vocabulary, seed: see :class:`Contender`.
        autocast: if not "none", a further contender, `ours` with ``--autocast`` of this value.
        quantizations: further contenders, `ours` exported to CTranslate2 with these compute types.

    Raises:
        ValueError: for unknown architectures and flags, and options that make no model.
    """
    for arch in (ours, baseline):
        _check_architecture(arch)
    task = build_task(vocabulary)
    common = parse_flags(ours, flags)
    own = Contender(ours, ours, {**common, **parse_flags(ours, own_flags)}, vocabulary, seed)
    model = own.build_on_meta(task)
    options = parse_flags(baseline, flags, given_to=ours)
    if baseline == STOCK and isinstance(model, RingFormerModel):
        options = {**_shared_options(model), **options}
    stock = Contender("stock transformer" if baseline == STOCK else baseline, baseline, options, vocabulary, seed)
    stock.build_on_meta(task)
    if stock.name == own.name:
        stock = replace(stock, name=f"{baseline} (baseline)")
    contenders = [stock, own]
    if autocast != "none":
        extra = parse_flags(ours, ["--autocast", autocast])
        contenders.append(replace(own, name=f"{ours} {autocast}", options={**own.options, **extra}))
        contenders[-1].build_on_meta(task)
    for quantization in dict.fromkeys(quantizations):
        contenders.append(replace(own, name=f"{ours} CTranslate2 {quantization}", quantization=quantization))
    return contenders


def _check_architecture(arch: str) -> None:
    model_class = ARCH_MODEL_REGISTRY.get(arch)
    if model_class is None:
        ours = sorted(name for name, known in ARCH_MODEL_REGISTRY.items() if issubclass(known, RingFormerModel))
        raise ValueError(
            f"unknown architecture {arch!r}: choose one of fairseq's, such as {STOCK}, or {', '.join(ours)}"
        )
    if not issubclass(model_class, FairseqEncoderDecoderModel):
        raise ValueError(f"{arch} is no encoder-decoder: only translation models can be compared")


def _model_parser(arch: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    ARCH_MODEL_REGISTRY[arch].add_args(parser)
    return parser


def parse_flags(arch: str, flags: Sequence[str], given_to: str = "") -> dict[str, Any]:
    """Options that `flags` set, by name.

    Raises:
        ValueError: for flags that `arch` does not know, and wrong values; with `given_to`, the architecture that does
            know them, the message says how to give them to it alone.
    """
    parser = _model_parser(arch)
    known = {action.dest for action in parser._actions}

    def refuse(message: str) -> None:
        raise ValueError(f"{arch}: {message}")

    parser.error = refuse
    given, unknown = parser.parse_known_args(list(flags))
    if unknown:
        text = f"{arch} does not know {' '.join(unknown)}"
        if given_to:
            text += f': flags are for all models; for {given_to} alone, write --own-flags="{" ".join(unknown)}"'
        raise ValueError(text)
    # Defaults of positional or store_true flags would override the architecture's numbers: only what was typed counts.
    typed = {flag.split("=")[0] for flag in flags}
    return {
        action.dest: getattr(given, action.dest)
        for action in parser._actions
        if action.dest in known and typed & set(action.option_strings)
    }


def _shared_options(model: RingFormerModel) -> dict[str, Any]:
    """The options of `model` that fairseq's plain transformer knows as well."""
    options = vars(model.cfg)
    known = [action.dest for action in _model_parser(STOCK)._actions]
    return {name: options[name] for name in known if options.get(name) is not None}


def is_vocabulary(name: str) -> bool:
    """Whether a weight of this name belongs to embeddings or output head, in our models and in fairseq's."""
    return VOCABULARY.search(name) is not None
