"""Translating with fairseq's checkpoints and beam search."""

import argparse
import contextlib
import dataclasses
import math
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, tasks, utils
from fairseq.data import Dictionary
from fairseq.data.data_utils import collate_tokens, infer_language_pair
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY, FairseqEncoderDecoderModel
from fairseq.sequence_generator import SequenceGenerator
from fairseq.tasks.translation import TranslationTask
from omegaconf import OmegaConf
from torch import Tensor

from ..errors import UserError, about, one_line
from ..export.checkpoints import data_folder, read_fairseq_checkpoint, settings, split_paths
from ..export.loading import architecture, load_model
from ..machine import choose_device
from ..models.assets import assets_of, check_symbols, first_difference
from ..models.base import OVERRIDES
from ..models.ringformer import USER_DIR, RingFormerModel
from .prepared import RECIPE, recipe_subwords
from .stream import Alignment, Hypothesis, Search, batches, longest_output
from .subwords import Subwords, build_codec

Languages = tuple[str | None, str | None]


class FairseqEngine:
    """A fairseq model, or an ensemble of several; see :class:`.stream.Engine`.

    Args:
        path: the checkpoint, or several between colons.
        data: folder with their dictionaries; None for what the first checkpoint carries.
        languages: source and target, each None for what the checkpoints or `data` say.
        subwords: how text is cut; None for what the recipe in `data` says.
        autocast: ``none`` or ``bf16``; None for what they were trained with.
        normalise: whether text is normalised as the training text was.
        device: ``cpu``, ``cuda``, ``cuda:1`` ..., or ``auto``.
        threads: of torch on the CPU; None to leave them as they are.
        exit_level: level of the decoder after which it ends, counted from 1; None for the last.

    Raises:
        UserError: if these are not there or do not belong together.
    """

    parallel = 1

    def __init__(
        self,
        path: str,
        data: str | None = None,
        languages: Languages = (None, None),
        subwords: Subwords | None = None,
        autocast: str | None = None,
        normalise: bool = True,
        device: str = "auto",
        threads: int | None = None,
        exit_level: int | None = None,
    ):
        if threads:
            torch.set_num_threads(threads)
        self.device = choose_device(device)
        self._lock = threading.Lock()  # a generator and its models search one batch at a time
        self._generators: dict[tuple[int, float], SequenceGenerator] = {}
        self.models = []
        self.task = None
        with contextlib.ExitStack() as stack:
            for one in split_paths(path):
                state = read_fairseq_checkpoint(one)
                if self.task is None:
                    data = data_folder(data, one, state, stack)
                    subwords = subwords or recipe_subwords(data)
                    if subwords is None:
                        raise UserError(f"no {RECIPE} in {data} or beside it: say how its text was cut")
                    if not normalise:
                        subwords = dataclasses.replace(subwords, normalisation=None)
                    self.task = build_task(one, state, data, languages)
                    self.languages = self.task.cfg.source_lang, self.task.cfg.target_lang
                    self.codec = build_codec(subwords, *self.languages)
                check_dictionaries(one, state, data, self.task)
                del state  # fairseq reads it again
                self.models.append(_load_model(one, self.task, autocast, exit_level).to(self.device))
        self.dictionary = self.task.target_dictionary
        positions = utils.resolve_max_positions(
            self.task.max_positions(), *[model.max_positions() for model in self.models]
        )
        self.max_tokens = min(positions) - 1  # one is for the end of the sentence

    def count(self, text: str) -> int:
        return len(self._tokens(text)) - 1

    def close(self) -> None:
        self.models.clear()
        self._generators.clear()

    def translate(self, sentences: list[str], search: Search) -> list[list[Hypothesis]]:
        tokens = [self._tokens(sentence) for sentence in sentences]
        results: list[list[Hypothesis]] = [[] for _ in sentences]
        for batch in batches([len(line) for line in tokens], search.batch_size, search.max_batch_tokens):
            with self._lock:
                found = self._translate_batch([tokens[index] for index in batch], search)
            for index, hypotheses in zip(batch, found):
                results[index] = hypotheses
        return results

    def _tokens(self, text: str) -> Tensor:
        dictionary = self.task.source_dictionary
        tokens = dictionary.encode_line(self.codec.encode(text), add_if_not_exist=False).long()
        # Text that looks like a special symbol is not one.
        tokens[:-1][tokens[:-1] < dictionary.nspecial] = dictionary.unk()
        return tokens

    def _generator(self, search: Search) -> SequenceGenerator:
        """fairseq's search, built once for each kind."""
        kind = search.beam, search.lenpen
        if kind not in self._generators:
            settings = argparse.Namespace(beam=search.beam, lenpen=search.lenpen)
            self._generators[kind] = self.task.build_generator(self.models, settings)
        return self._generators[kind]

    def _translate_batch(self, tokens: list[Tensor], search: Search) -> list[list[Hypothesis]]:
        pad, eos = self.dictionary.pad(), self.dictionary.eos()
        net_input = {
            "src_tokens": collate_tokens(tokens, pad, eos, left_pad=True).to(self.device),
            "src_lengths": torch.tensor([len(line) for line in tokens], device=self.device),
        }
        generator = self._generator(search)
        generator.max_len_b = longest_output(len(tokens[0]))
        for model in self.models:
            if isinstance(model, RingFormerModel):  # fairseq's own always tells
                model.decoder.make_generation_fast_(need_attn=search.alignment)
        try:
            results = self.task.inference_step(generator, self.models, {"net_input": net_input})
        except torch.cuda.OutOfMemoryError:
            raise UserError("out of GPU memory: lower --max-tokens, --batch-size or --beam, or use the CPU") from None
        except RuntimeError as error:
            if "allocate memory" not in str(error):
                raise
            raise UserError("out of memory: lower --max-tokens, --batch-size or --beam") from None
        strip = generator.symbols_to_strip_from_output
        return [
            [self._hypothesis(line, result, strip, search.alignment) for result in beam[: search.nbest]]
            for line, beam in zip(tokens, results)
        ]

    def _hypothesis(self, source: Tensor, result: dict[str, Tensor], strip: set[int], aligned: bool) -> Hypothesis:
        tokens = result["tokens"].int().cpu()
        words = self.dictionary.string(tokens, extra_symbols_to_ignore=strip)
        alignments: tuple[Alignment, ...] = ()
        if aligned:
            symbols = tuple(self.task.source_dictionary[token] for token in source[:-1])
            kept = [place for place, token in enumerate(tokens.tolist()) if token not in strip]
            # `(source, target)`, padding on the source's left.
            weights = result["attention"].cpu()[-len(source) : -1, kept].T
            target = tuple(self.dictionary[tokens[place]] for place in kept)
            alignments = (Alignment(symbols, target, tuple(map(tuple, weights.tolist()))),)
        return Hypothesis(self.codec.decode(words), result["score"].item() / math.log(2), alignments)


def build_task(path: str, state: dict[str, Any], data: str, languages: Languages) -> TranslationTask:
    """The translation task of a checkpoint, with the dictionaries of the folder `data`."""
    if not isinstance(state.get("cfg"), dict) or "task" not in state["cfg"]:
        raise UserError(f"{path}: holds no settings of its task: an old fairseq's checkpoint, or another tool's")
    cfg = OmegaConf.create(state["cfg"], flags={"allow_objects": True}).task
    name = getattr(cfg, "_name", None)  # tasks of old have an argparse.Namespace
    if not issubclass(tasks.TASK_REGISTRY.get(name, object), TranslationTask):
        raise UserError(f"{path}: a model for the task {name}, translating needs one for translation")
    if not os.path.isdir(data):
        raise UserError(f"{data}: no such data folder")
    model = architecture(state)
    if model not in ARCH_MODEL_REGISTRY and model not in MODEL_REGISTRY:
        raise UserError(f"{path}: unknown architecture {model}: not of fairseq and not of this plug-in ({USER_DIR})")
    cfg.data, link = data, None
    if os.pathsep in data:  # fairseq would take it for a list of folders: a link, which goes with the task
        link = tempfile.TemporaryDirectory()
        cfg.data = os.path.join(link.name, "data")
        os.symlink(os.path.abspath(data), cfg.data)
    carried = (assets_of(state) or {}).get("languages", (None, None))
    trained = zip((cfg.source_lang, cfg.target_lang), carried, infer_language_pair(data))
    cfg.source_lang, cfg.target_lang = (
        chosen or next(filter(None, known), None) for chosen, known in zip(languages, trained)
    )
    if not (cfg.source_lang and cfg.target_lang):
        raise UserError(f"{path} and {data} do not say the languages: add --source-lang and --target-lang")
    pair = cfg.source_lang, cfg.target_lang
    for language in pair:
        if not os.path.isfile(os.path.join(data, f"dict.{language}.txt")):
            raise UserError(
                f"{data} has no dict.{language}.txt: give the folder that fairseq-preprocess has written as --data"
            )
    cfg.eval_bleu = False
    try:
        task = tasks.setup_task(cfg)
        task.link = link
        return task
    except Exception:
        for language in pair:
            read_dictionary(os.path.join(data, f"dict.{language}.txt"))  # names the file, if that is what is wrong
        raise


def read_dictionary(path: str) -> Dictionary:
    """The dictionary in the file at `path`; UserError if there is none."""
    try:
        return TranslationTask.load_dictionary(path)
    except Exception as error:  # fairseq raises this very class where bytes are no UTF-8
        raise UserError(f"{path} is not a dictionary of fairseq-preprocess: {one_line(error)}") from None


def check_dictionaries(path: str, state: dict[str, Any], data: str, task: TranslationTask) -> bool:
    """Raise UserError unless the dictionaries of `task` are those that the checkpoint `path` was trained with.

    The symbols are compared with those that it carries; of a checkpoint that carries none, which knows how large its
    dictionaries were and where they lay, where they still are, else the sizes alone.

    Returns:
        whether the symbols of both sides were compared.
    """
    sides = {
        "source": (task.source_dictionary, ("encoder.embed_tokens.weight",)),
        "target": (task.target_dictionary, ("decoder.embed_tokens.weight", "encoder.embed_tokens.weight")),
    }
    weights, compared, carried = state["model"], [], assets_of(state) is not None
    for side, (dictionary, keys) in sides.items():
        known = next((len(weights[key]) for key in keys if key in weights), len(dictionary))
        if known != len(dictionary):
            raise UserError(
                f"the data folder {data} has other dictionaries than {path} was trained with: "
                f"{len(dictionary)} against {known} entries on the {side} side"
            )
        if carried:
            continue
        folder, trained = _trained_dictionary(path, state, task, side)
        # One of another size was written anew since: it says nothing about the training.
        if trained is None or len(trained) != known:
            continue
        compared.append(side)
        difference = first_difference(dictionary, trained)
        if difference is not None:
            raise UserError(
                f"the data folder {data} has other dictionaries than {path} was trained with, in {folder}: on the "
                f"{side} side {difference} (if {folder} was written anew since that training, rename it)"
            )
    return check_symbols(state, path, task, data) or len(compared) == len(sides)


def load_for_export(
    path: str, state: dict[str, Any], data: str, languages: Languages
) -> tuple[TranslationTask, FairseqEncoderDecoderModel]:
    """Task and model of the checkpoint `state` of `path`, in fp32; UserError unless the folder `data` is its own."""
    task = build_task(path, state, data, languages)
    check_dictionaries(path, state, data, task)
    with about(path):
        return task, load_model(state)


def training_data(state: dict[str, Any]) -> str | None:
    """The folder of the data that a checkpoint was trained on, as it was named then; of several the first."""
    data = settings(state, "task").get("data")
    return utils.split_paths(data)[0] if isinstance(data, str) and data else None


def _trained_dictionary(
    path: str, state: dict[str, Any], task: TranslationTask, side: str
) -> tuple[str, Dictionary | None]:
    """The dictionary of the training of `path`, None if it is gone, and the folder that it is in.

    A relative folder is looked for where the checkpoint lies and above, since trainings seldom leave their project;
    then from here.
    """
    folder = training_data(state)
    if folder is None:
        return "", None
    above = Path(os.path.abspath(path)).parents
    for parent in ("",) if os.path.isabs(folder) else (*above, os.getcwd()):
        data = os.path.join(parent, folder)
        try:
            inferred = infer_language_pair(data)[("source", "target").index(side)]
            trained = settings(state, "task").get(f"{side}_lang")
            language = trained or inferred or getattr(task.cfg, f"{side}_lang")
            return data, read_dictionary(os.path.join(data, f"dict.{language}.txt"))
        except (UserError, OSError, ValueError):
            continue
    return folder, None


def _load_model(path: str, task: TranslationTask, autocast: str | None, exit_level: int | None):
    try:
        (model,), cfg, _ = checkpoint_utils.load_model_ensemble_and_task([path], arg_overrides=OVERRIDES, task=task)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: its model cannot be built: {one_line(error)}") from None
    if any(weight.isnan().any() for weight in model.parameters()):
        raise UserError(f"{path}: weights are not numbers (NaN): that training has diverged")
    for flag, value in (("--autocast", autocast), ("--exit-level", exit_level)):
        if value is not None and not isinstance(model, RingFormerModel):
            raise UserError(f"{path}: {flag} is for models of this plug-in, this is a {type(model).__name__}")
    if autocast is not None:
        model.set_autocast(autocast)
    if exit_level is not None:
        with about(path):
            model.exit_at(exit_level)
    model.eval()
    model.prepare_for_inference_(cfg)
    return model
