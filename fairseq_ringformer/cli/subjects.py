"""What the analyses share: checkpoints to look into, the examples to run them on, the files to write."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..export.checkpoints import check_fairseq_checkpoint, is_classifier
from ..files import read_checkpoint
from .arguments import add_machine_arguments, positive, whole
from .errors import require_fairseq, require_timm

TEXT, IMAGES = "translation", "images"
# Flags of one kind alone, and what they are without being given.
OF_KIND = {TEXT: {"subset": "test", "side": "both"}, IMAGES: {"dataset": "", "split": "validation", "tokens": "class"}}


def add_arguments(parser: argparse.ArgumentParser, checkpoints: Any, examples: int | None) -> None:
    """Flags of every analysis.

    Args:
        checkpoints: how many --path takes, in argparse's words; None for one.
        examples: default of --examples; None for a command that reads no data set, and needs --data for the
            dictionaries of translation models alone.
    """
    parser.add_argument(
        "--path", required=True, nargs=checkpoints, metavar="CKPT", help="of a translation model or a classifier"
    )
    parser.add_argument(
        "--data",
        required=examples is not None,
        metavar="DIR",
        help="folder of fairseq-preprocess" + (", or of images for classifiers" if examples is not None else ""),
    )
    parser.add_argument("--output", required=True, metavar="PREFIX", help="start of the names of the files to write")
    if checkpoints is not None:
        parser.add_argument("--names", nargs="+", metavar="NAME", help="what to call them; default: architectures")
    if examples is not None:
        parser.add_argument(
            "--examples",
            type=positive,
            default=examples,
            metavar="N",
            help=f"sentences or images, drawn by --seed; default: {examples}",
        )
        parser.add_argument("--seed", type=whole(0), default=1, metavar="N", help="of the draw; default: 1")
        parser.add_argument("--subset", metavar="NAME", help="translation: valid, test ...; default: test")
        parser.add_argument("--split", metavar="NAME", help="images: default: validation")
        parser.add_argument("--dataset", metavar="NAME", help="images: how they lie in --data, as in train-classifier")
    parser.add_argument(
        "--ema", action=argparse.BooleanOptionalAction, help="images: averaged weights; default: where there are any"
    )
    add_machine_arguments(parser)


@dataclass
class Subject:
    """A checkpoint to look into.

    Attributes:
        path: its file.
        name: what to call it in pictures.
        kind: ``translation`` or ``images``.
        architecture: fairseq's or timm's name.
        model: in evaluation mode, in float32.
        state: the checkpoint without its weights.
    """

    path: str
    name: str
    kind: str
    architecture: str
    model: Any
    state: dict[str, Any]

    def described(self) -> dict[str, str]:
        return {"path": self.path, "name": self.name, "architecture": self.architecture}


def check_output(prefix: str, endings: Sequence[str]) -> None:
    """UserError unless PREFIX and each of `endings` make files that can be written."""
    folder = os.path.dirname(prefix) or "."
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder for --output")
    if not os.path.basename(prefix):
        raise UserError(f"--output {prefix} is a folder: add the start of the files' names")
    for ending in endings:
        if prefix.endswith(ending):
            raise UserError(f"--output {prefix}: give the start of the names, {prefix.removesuffix(ending)}")
        if os.path.isdir(prefix + ending):
            raise UserError(f"{prefix + ending} is a folder: choose another --output")


def load_subjects(args: argparse.Namespace) -> list[Subject]:
    """The checkpoints of --path on --device, all of one kind, and the flags of that kind filled in.

    Raises:
        UserError: if a checkpoint cannot be loaded, or flags do not fit.
    """
    paths = args.path if isinstance(args.path, list) else [args.path]
    names = getattr(args, "names", None)
    if names is not None and len(names) != len(paths):
        raise UserError(f"--names has {len(names)} names for {len(paths)} checkpoints")
    if names is not None and len(set(names)) < len(names):
        raise UserError("--names are the same for two checkpoints: choose others")
    device = _device(args)
    subjects = [_load(path, args) for path in paths]
    kind = subjects[0].kind
    for other in subjects:
        if other.kind != kind:
            raise UserError(
                f"{paths[0]} is a model for {kind}, {other.path} one for {other.kind}: give models of one kind"
            )
    _take_defaults(args, kind)
    for subject, name in zip(subjects, names or _names(subjects)):
        subject.name = name
        subject.model.to(device)
    return subjects


def _device(args: argparse.Namespace) -> str:
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; use --device cpu")
    if args.threads:
        torch.set_num_threads(args.threads)
    return "cuda" if args.device != "cpu" and torch.cuda.is_available() else "cpu"


def _load(path: str, args: argparse.Namespace) -> Subject:
    state = read_checkpoint(path)
    if is_classifier(state):
        require_timm()
        from ..vision.checkpoint import model_of

        try:
            model, state = model_of(path, state, args.ema)
        except ValueError as error:
            raise UserError(str(error)) from None
        state = {key: value for key, value in state.items() if not key.startswith("state_dict")}
        return Subject(path, "", IMAGES, state["arch"], model, state)
    if args.ema is not None:
        raise UserError(f"--ema is for classifiers; of a translation model, {path}, ringformer average --ema takes it")
    require_fairseq()
    from ..export.loading import architecture, load_model
    from ..text.fairseq_engine import build_task, check_dictionaries

    if args.data is None:
        raise UserError(f"{path} is a translation model: give --text, and --data DIR of fairseq-preprocess")
    state = check_fairseq_checkpoint(path, state)
    try:
        model = load_model(state)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    if hasattr(model, "set_autocast"):
        model.set_autocast("none")
    task = build_task(path, state, args.data, (None, None))
    compared = check_dictionaries(path, state, args.data, task)
    name = architecture(state)
    del state["model"]
    return Subject(path, "", TEXT, name, model, {**state, "task": task, "dictionaries_compared": compared})


def _take_defaults(args: argparse.Namespace, kind: str) -> None:
    """Refuse flags of the other kind, and fill in those of this one."""
    for own, flags in OF_KIND.items():
        for flag, default in flags.items():
            given = getattr(args, flag, None)
            if own != kind and given is not None:
                raise UserError(f"--{flag} is for {'translation models' if own == TEXT else 'image classifiers'}")
            if own == kind and given is None:
                setattr(args, flag, default)


def _names(subjects: Sequence[Subject]) -> list[str]:
    """Names that tell the models apart: architectures, else as much of the paths as it takes."""
    for names in (
        [subject.architecture for subject in subjects],
        [os.path.basename(os.path.dirname(os.path.abspath(subject.path))) for subject in subjects],
        ["/".join(os.path.abspath(subject.path).split(os.sep)[-2:]) for subject in subjects],
    ):
        if len(set(names)) == len(names):
            return names
    return [subject.path for subject in subjects]


def _warn_of_other_data(command: str, subjects: Sequence[Subject]) -> None:
    """Say so where translation models may have different vocabularies, and it cannot be seen from here."""
    from ..text.fairseq_engine import training_data

    folders = [training_data(subject.state) for subject in subjects]
    for subject, folder in zip(subjects, folders):
        if len(set(folders)) > 1 and not subject.state["dictionaries_compared"]:
            print(
                f"ringformer {command}: {subject.path} was trained on {folder or 'unknown data'}, whose dictionaries "
                "are not here to compare: make sure that they are those of --data, and not of the same size alone",
                file=sys.stderr,
            )


class Examples:
    """Sentences or images of --data, drawn by --seed, as every model reads them.

    Attributes:
        indices: in the data set, in the order of the draw.
        left_out: how many images of these are damaged, known once they were read.
    """

    def __init__(self, args: argparse.Namespace, subjects: Sequence[Subject]):
        self.kind = subjects[0].kind
        self.left_out = 0
        self._models = len(subjects)
        self._device = next(subjects[0].model.parameters()).device
        self._open_text(args, subjects) if self.kind == TEXT else self._open_images(args, subjects)

    def _draw(self, args: argparse.Namespace, among: list[int]) -> None:
        import torch

        generator = torch.Generator().manual_seed(args.seed)
        order = torch.randperm(len(among), generator=generator)[: args.examples]
        self.indices = [among[place] for place in order.tolist()]

    def _open_text(self, args: argparse.Namespace, subjects: Sequence[Subject]) -> None:
        from fairseq.utils import resolve_max_positions

        tasks = [subject.state["task"] for subject in subjects]
        languages = [(task.cfg.source_lang, task.cfg.target_lang) for task in tasks]
        for subject, own in zip(subjects, languages):
            if own != languages[0]:
                raise UserError(
                    f"{subjects[0].path} translates {'-'.join(languages[0])}, {subject.path} {'-'.join(own)}: "
                    "they have no data in common"
                )
        _warn_of_other_data(args.command, subjects)
        task = tasks[0]
        try:
            task.load_dataset(args.subset)
        except (FileNotFoundError, AssertionError):
            raise UserError(f"{args.data}: no subset {args.subset} of {'-'.join(languages[0])}") from None
        self.dataset = task.datasets[args.subset]
        if self.dataset.tgt is None:
            raise UserError(f"{args.data}: subset {args.subset} has no target side")
        longest = resolve_max_positions(*[subject.model.max_positions() for subject in subjects])
        fits = [
            index
            for index in range(len(self.dataset))
            if self.dataset.src_sizes[index] <= longest[0] and self.dataset.tgt_sizes[index] <= longest[1]
        ]
        if not fits:
            raise UserError(f"{args.data}: subset {args.subset} has no sentence pair that the models can take")
        self._draw(args, fits)

    def _open_images(self, args: argparse.Namespace, subjects: Sequence[Subject]) -> None:
        from ..vision.checkpoint import input_config
        from ..vision.data import StreamedImages, eval_transform, open_images

        classes = [list(subject.state["classes"]) for subject in subjects]
        sets: dict[Any, Any] = {}
        self._reads = [input_config(subject.state) for subject in subjects]
        for subject, own, size in zip(subjects, classes, self._reads):
            if own != classes[0]:
                raise UserError(f"{subjects[0].path} and {subject.path} were trained on different classes")
            if size in sets:
                continue
            try:
                sets[size] = open_images(
                    args.data,
                    args.split,
                    dataset=args.dataset,
                    transform=eval_transform(size),
                    channels=size.size[0],
                    classes=own,
                )
            except (ValueError, ImportError) as error:
                raise UserError(str(error)) from None
            if isinstance(sets[size], StreamedImages):
                raise UserError(f"--dataset {args.dataset} is a stream, which cannot be drawn from: use a folder")
        self.sets = sets
        self._draw(args, list(range(len(sets[self._reads[0]]))))

    def __len__(self) -> int:
        return len(self.indices)

    def batches(self, budget: int, power: int = 1, by_length: bool = False) -> Iterator[tuple[Any, ...]]:
        """For each model, what :func:`~fairseq_ringformer.analysis.inspection.states.trace` reads.

        Args:
            budget: most examples times length ** power in a batch; a length is tokens, or 197 for an image.
            by_length: sentences of a length together; else in the order of the draw.
        """
        return self._sentences(budget, power, by_length) if self.kind == TEXT else self._image_batches(budget, power)

    def _sentences(self, budget: int, power: int, by_length: bool) -> Iterator[tuple[Any, ...]]:
        from ..analysis.inspection.states import groups

        def length(index: int) -> int:
            return int(max(self.dataset.src_sizes[index], self.dataset.tgt_sizes[index])) + 1

        order = sorted(self.indices, key=length) if by_length else self.indices
        for group in groups([length(index) for index in order], budget, power):
            net_input = self.dataset.collater([self.dataset[order[place]] for place in group])["net_input"]
            yield ({name: value.to(self._device) for name, value in net_input.items()},) * self._models

    def _image_batches(self, budget: int, power: int) -> Iterator[tuple[Any, ...]]:
        import torch

        size = max(1, budget // 197**power)
        for start in range(0, len(self.indices), size):
            own = self.indices[start : start + size]
            read = {size: [images[index] for index in own] for size, images in self.sets.items()}
            first = self._reads[0]
            kept = [place for place, (_, target, _) in enumerate(read[first]) if target >= 0]
            for place in sorted(set(range(len(own))) - set(kept)):
                print(f"damaged, left out: {self.sets[first].name(own[place])}", file=sys.stderr)
            self.left_out += len(own) - len(kept)
            if kept:
                stacked = {
                    size: {"images": torch.stack([samples[place][0] for place in kept]).to(self._device)}
                    for size, samples in read.items()
                }
                yield tuple(stacked[size] for size in self._reads)


def progress(batches: Iterator[Any], total: int | None = None, words: str = "batches") -> Any:
    """A bar on a terminal's standard error."""
    from tqdm import tqdm

    return tqdm(batches, desc=words, total=total, unit=" batches", leave=False, disable=not sys.stderr.isatty())


def write_json(found: dict[str, Any], path: str) -> None:
    """Write `found`, numbers that are none as null."""
    from .. import __version__

    with writing(path):
        with open(path, "w", encoding="utf-8") as stream:
            text = json.dumps({**found, "version": __version__}, indent=1, ensure_ascii=False, allow_nan=False)
            stream.write(text + "\n")


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """UserError if `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def draw(figure: Any, prefix: str, endings: Sequence[str] = (".png", ".svg")) -> None:
    """Write a figure as PREFIX.png and PREFIX.svg."""
    for ending in endings:
        with writing(prefix + ending):
            figure.savefig(prefix + ending, dpi=150)


def rounded(values: Any, digits: int = 6) -> Any:
    """Nested lists of numbers for JSON; None for what is no number."""
    if isinstance(values, (list, tuple)):
        return [rounded(value, digits) for value in values]
    return None if values != values else round(float(values), digits)
