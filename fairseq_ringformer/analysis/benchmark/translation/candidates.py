"""The models that are compared: built from options alone, with random weights and the same task."""

import argparse
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY, BaseFairseqModel, FairseqEncoderDecoderModel
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import nn

from ....errors import FlagParser, UserError, about
from ....models.dictionaries import numbered_dictionary
from ....models.ringformer import RingFormerModel
from ....modules import Stack
from .. import candidate

STOCK = "transformer"


@dataclass(frozen=True)
class Candidate(candidate.Candidate):
    """A translation model.

    Attributes:
        options: as the command line would set them.
        vocabulary: dictionary entries of each side, special symbols included.
        quantization: if not empty, the model runs in CTranslate2 with this compute type, and only generates.
        compiled: its stacks run through torch.compile, and only train: the shapes of a search change at every step.
    """

    vocabulary: int = 8000
    quantization: str = ""
    compiled: bool = False

    def outer(self, model: nn.Module) -> re.Pattern[str]:
        return re.compile(r"(^|\.)(embed_tokens|output_projection|output_bias)(\.|$)")

    @property
    def trains(self) -> bool:
        return not self.quantization

    @property
    def generates(self) -> bool:
        """Whether it is meant to search."""
        return not self.compiled

    def create(self) -> BaseFairseqModel:
        args = argparse.Namespace(arch=self.arch, **self.options)
        ARCH_CONFIG_REGISTRY[self.arch](args)
        model = ARCH_MODEL_REGISTRY[self.arch].build_model(args, self.task())
        if self.compiled:
            for stack in (module for module in model.modules() if isinstance(module, Stack)):
                stack.compile(dynamic=True)  # of one graph for batches of all lengths
        return model

    def task(self) -> TranslationTask:
        """A task whose two sides share one dictionary."""
        return build_task(self.vocabulary)


@functools.lru_cache(maxsize=2)
def build_task(vocabulary: int) -> TranslationTask:
    """A translation task whose two sides share one dictionary of `vocabulary` entries.

    Raises:
        UserError: if that is fewer than fairseq's special symbols.
    """
    special = Dictionary().nspecial
    if vocabulary <= special:
        raise UserError(f"a vocabulary of {vocabulary} is too small: fairseq's special symbols are {special}")
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
    compiled: bool = False,
) -> list[Candidate]:
    """The candidates of a benchmark, the baseline first.

    Args:
        ours: architecture that is compared.
        baseline: architecture it is compared with. fairseq's plain ``transformer`` gets every option that both know
            from `ours` (sizes, dropout, activation, norm order, shared embeddings ...); any other keeps its own
            numbers.
        flags: model flags for both; own_flags: model flags for `ours` alone.
        vocabulary, seed: see :class:`Candidate`.
        autocast: if not "none", a further candidate, `ours` with ``--autocast`` of this value.
        quantizations: further candidates, `ours` exported to CTranslate2 with these compute types.
        compiled: whether there is a further candidate, `ours` with its stacks compiled.

    Raises:
        UserError: for unknown architectures and flags, and options that make no model.
    """
    for arch in (ours, baseline):
        _check_architecture(arch)
    build_task(vocabulary)
    common = parse_flags(ours, flags)
    mine = Candidate(ours, ours, {**common, **parse_flags(ours, own_flags)}, seed, vocabulary)
    model = mine.build_on_meta()
    options = parse_flags(baseline, flags, given_to=ours)
    if baseline == STOCK and isinstance(model, RingFormerModel):
        options = {**_shared_options(model), **options}
    name = {STOCK: "stock transformer", ours: f"{baseline} (baseline)"}.get(baseline, baseline)
    candidates = [Candidate(name, baseline, options, seed, vocabulary), mine]
    if autocast != "none":
        extra = parse_flags(ours, ["--autocast", autocast])
        candidates.append(replace(mine, name=f"{ours} {autocast}", options={**mine.options, **extra}))
    if compiled:
        if not isinstance(model, RingFormerModel):
            raise UserError(f"--compile compiles the stacks of a model of this package, which {ours} has not")
        candidates.append(replace(mine, name=f"{ours} compiled", compiled=True))
    for other in candidates:
        other.build_on_meta()
    for quantization in dict.fromkeys(quantizations):
        candidates.append(replace(mine, name=f"{ours} CTranslate2 {quantization}", quantization=quantization))
    return candidates


def _check_architecture(arch: str) -> None:
    model_class = ARCH_MODEL_REGISTRY.get(arch)
    if model_class is None:
        ours = sorted(name for name, known in ARCH_MODEL_REGISTRY.items() if issubclass(known, RingFormerModel))
        raise UserError(
            f"unknown architecture {arch!r}: choose one of fairseq's, such as {STOCK}, or {', '.join(ours)}"
        )
    if not issubclass(model_class, FairseqEncoderDecoderModel):
        raise UserError(f"{arch} is no encoder-decoder: only translation models can be compared")


def _model_parser(arch: str) -> argparse.ArgumentParser:
    parser = FlagParser(argument_default=argparse.SUPPRESS)
    ARCH_MODEL_REGISTRY[arch].add_args(parser)
    return parser


def parse_flags(arch: str, flags: Sequence[str], given_to: str = "") -> dict[str, Any]:
    """Options that `flags` set, by name.

    Raises:
        UserError: for flags that `arch` does not know, and wrong values; with `given_to`, the architecture that does
            know them, the message says how to give them to it alone.
    """
    parser = _model_parser(arch)
    with about(arch):
        given, unknown = parser.parse_known_args(list(flags))
    if unknown:
        text = f"{arch} does not know {' '.join(unknown)}"
        if given_to:
            text += f': flags are for all models; for {given_to} alone, write --own-flags="{" ".join(unknown)}"'
        raise UserError(text)
    # Defaults of positional or store_true flags would override the architecture's numbers: only what was typed counts.
    typed = {flag.split("=")[0] for flag in flags}
    return {
        action.dest: getattr(given, action.dest) for action in parser._actions if typed & set(action.option_strings)
    }


def _shared_options(model: RingFormerModel) -> dict[str, Any]:
    """The options of `model` that fairseq's plain transformer knows as well."""
    options = vars(model.cfg)
    known = [action.dest for action in _model_parser(STOCK)._actions]
    return {name: options[name] for name in known if options.get(name) is not None}
