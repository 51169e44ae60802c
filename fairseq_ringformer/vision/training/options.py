"""Every option of a training, declared once. argparse reads the flags, and a configuration file as if it were flags."""

import argparse
import dataclasses
import difflib
import functools
import json
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ...errors import FlagParser, UserError, about
from ...machine import cores, most_threads

# Of the help: the groups of flags, by the first option of each.
GROUPS = dict(
    data="data", model="model", epochs="length", opt="optimisation", loss="loss", crop="augmentation", output="run"
)
METAVARS = {int: "N", float: "X", str: "NAME"}
LIMITS = {"at_least": operator.ge, "at_most": operator.le, "above": operator.gt, "below": operator.lt}
# A training may go on with other values of these than it began with.
RESUMABLE = frozenset(
    "data teacher epochs max_update batch_size grad_accum output resume restart workers checkpoint_activations compile "
    "log_interval save_interval threads device".split()
)


def option(default: Any, help: str, metavar: str | None = None, **limits: float) -> Any:
    """A field of :class:`Options`; `limits` of a number are named as in ``LIMITS``."""
    metadata = dict(help=help, metavar=metavar, limits=limits)
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


_probability = functools.partial(option, metavar="P", at_least=0, below=1)


@dataclass
class Options:
    """How a classifier is trained. Lengths are in updates of the weights, sizes in pixels."""

    data: str = option("", "folder of the images", "DIR")
    dataset: str = option(
        "", "how they lie there, as in timm: nothing for class folders or a tar, torch/fashion_mnist, wds/, hfds/NAME"
    )
    train_split: str = option("train", "split to train on")
    valid_split: str = option("validation", "split to evaluate on after each epoch")
    damaged: Literal["skip", "refuse"] = option(
        "skip",
        "images that cannot be decoded: another stands in (named in DIR/damaged.txt; of a stream only counted), or all "
        "images are decoded first and the training refused",
    )

    model: str = option("", "name in timm, vit_ring_tiny_patch4_28 for one")
    model_arg: dict[str, Any] = option({}, "arguments of the model besides the flags, values as in YAML")
    num_classes: int | None = option(None, "default: those of the data", at_least=1)
    img_size: int | None = option(None, "height and width; default: the model's", at_least=1)
    in_chans: int | None = option(None, "image channels; default: the model's", at_least=1)
    dropout: float = _probability(0.0, "of embeddings and of what the sub-layers and the activation put out")
    drop_rate: float = _probability(0.0, "dropout before the head")
    drop_path: float = _probability(0.0, "stochastic depth, at the last level")
    init_from: str = option(
        "", "begin with the weights of this checkpoint; another number of classes gets a new head", "FILE"
    )

    epochs: int | None = option(None, "passes over the images", at_least=1)
    max_update: int | None = option(None, "updates, instead of epochs", at_least=1)
    batch_size: int = option(128, "images per process and step", at_least=1)
    grad_accum: int = option(1, "steps per update; the effective batch is batch size x processes x steps", at_least=1)

    opt: str = option("adam", "any of timm's optimisers")
    lr: float = option(1e-3, "peak learning rate", above=0)
    weight_decay: float = option(0.0, "not of biases and norms", at_least=0)
    opt_arg: dict[str, Any] = option({}, "arguments of the optimiser besides the flags, betas=[0.9,0.98] for one")
    clip_grad: float = option(1.0, "largest gradient norm; 0: unlimited", at_least=0)
    layer_decay: float | None = option(None, "factor of the learning rate per level downwards", above=0)
    sched: Literal["cosine", "poly", "tanh", "constant"] = option("cosine", "learning rate after warm-up")
    warmup_updates: int = option(0, "updates in which the learning rate grows from 0", at_least=0)
    min_lr: float = option(0.0, "learning rate at the end", at_least=0)
    ema: float | None = option(
        None,
        "also keep an exponential moving average of the weights, with this decay; evaluated and saved too, and by it "
        "the best checkpoint is chosen",
        "DECAY",
        above=0,
        below=1,
    )

    loss: Literal["ce", "bce"] = option("ce", "cross-entropy, or binary cross-entropy by class")
    label_smoothing: float = _probability(0.0, "share of the target spread over all classes")
    mixup: float = option(0.0, "timm's Mixup, parameter alpha; 0: none", at_least=0)
    cutmix: float = option(0.0, "timm's CutMix, parameter alpha; 0: none", at_least=0)

    exit_weight: float | None = option(
        None,
        "levels before the last learn as it does: their mean loss is added with this weight; default: none",
        above=0,
    )
    exit_levels: str = option("", "which of them, counted from 1: 1,3; default: all before the last", "LEVELS")

    teacher: str = option(
        "",
        "also learn from what a trained classifier of the same classes makes of the images: a checkpoint, a folder of "
        "timm's save_for_hf, or a model of timm with trained weights",
        "FILE|DIR|NAME",
    )
    distill_alpha: float | None = option(
        None, "weight of the teacher's part of the loss; default: 0.5", above=0, at_most=1
    )
    distill_temperature: float | None = option(
        None, "by which the teacher's and the model's logits are divided there; default: 2", above=0
    )

    # What these can be, and what goes together, data/transforms.py says.
    crop: Literal["rrc", "resize", "pad", "none"] = option(
        "rrc", "random resized crop; resize to size/crop-pct and random crop; zero-pad and random crop"
    )
    padding: int = option(2, "pixels on each side, of --crop pad")
    scale: tuple[float, float] = option((0.08, 1.0), "share of the area kept, of --crop rrc")
    ratio: tuple[float, float] = option((0.75, 1.3333), "width by height, of --crop rrc")
    hflip: float = option(0.5, "probability of a horizontal flip", "P")
    vflip: float = option(0.0, "probability of a vertical flip", "P")
    auto_augment: str = option(
        "none", "none, trivial (TrivialAugmentWide), or timm's text, rand-m9-mstd0.5-inc1 for one"
    )
    color_jitter: float = option(0.0, "strength of colour jitter")
    random_erasing: float = option(0.0, "probability of erasing a part", "P")
    mean: tuple[float, ...] | None = option(None, "mean by channel to subtract; default: the model's")
    std: tuple[float, ...] | None = option(None, "deviation by channel to divide by; default: the model's")
    crop_pct: float | None = option(None, "share of the resized side that evaluation keeps; default: the model's")
    interpolation: str = option("", "of resizing; default: the model's")

    background: str = option("white", "what shows through transparent pixels: a colour's name, or #rrggbb")

    output: str = option("", "folder of checkpoints and logs", "DIR")
    resume: bool = option(
        False, "refuse to begin anew; without this, a training goes on if there is DIR/last.pt, else begins"
    )
    restart: bool = option(False, "begin anew, whatever is in DIR")
    seed: int = option(1, "of weights, order of images and all random choices", at_least=0, below=2**32)
    workers: int = option(2, "processes that load images, per process", at_least=0)
    mixed_precision: Literal["no", "bf16", "fp16"] = option("no", "type of matrix products")
    checkpoint_activations: bool = option(False, "recompute activations instead of keeping them")
    compile: bool = option(False, "torch.compile")
    log_interval: int = option(50, "updates per line of the log", at_least=1)
    save_interval: int = option(1000, "updates after which DIR/last.pt is saved inside an epoch", at_least=1)
    threads: int | None = option(None, "torch's threads on the CPU; default: torch's choice", at_least=1)
    device: Literal["auto", "cpu", "cuda"] = option("auto", "auto: a GPU if there is one")

    def check(self) -> None:
        """UserError, with the flag's name, unless each value is possible by itself and all agree."""
        types = get_type_hints(Options)
        for entry in dataclasses.fields(self):
            value, kind = getattr(self, entry.name), types[entry.name]
            if get_origin(kind) is Literal and value not in get_args(kind):
                raise UserError(f"{flag(entry.name)} {value}: choose one of {', '.join(get_args(kind))}")
            for name, limit in entry.metadata["limits"].items():
                if value is not None and not LIMITS[name](value, limit):
                    raise UserError(f"{flag(entry.name)} {value:g}: must be {name.replace('_', ' ')} {limit:g}")
        for name in ("data", "model", "output"):
            if not getattr(self, name):
                raise UserError(f"{flag(name)} is missing")
        if (self.epochs is None) == (self.max_update is None):
            both = "one of --epochs and --max-update, not both" if self.epochs else "--epochs N or --max-update N"
            raise UserError(f"say how long to train: {both}")
        if self.threads and self.threads > most_threads():
            raise UserError(f"--threads {self.threads}: too many for {cores()} cores: choose at most {most_threads()}")
        if self.resume and self.restart:
            raise UserError("--resume and --restart exclude each other")
        if self.mixup + self.cutmix > 0 and self.batch_size % 2:
            raise UserError(f"--mixup and --cutmix mix images in pairs: --batch-size {self.batch_size} must be even")
        needs = dict(distill_alpha="teacher", distill_temperature="teacher", exit_levels="exit_weight")
        for name, needed in needs.items():
            if getattr(self, name) and not getattr(self, needed):
                raise UserError(f"{flag(name)} goes with {flag(needed)}, which is not given")
        if self.teacher and self.loss == "bce":
            raise UserError(
                "--teacher excludes --loss bce: a teacher's targets are shares of all classes; use --loss ce"
            )
        if self.min_lr and self.sched == "constant":
            raise UserError(f"--min-lr {self.min_lr:g} excludes --sched constant, which ends at --lr")
        if self.min_lr > self.lr:
            raise UserError(f"--min-lr {self.min_lr:g} is above --lr {self.lr:g}")


def flag(name: str) -> str:
    """The flag of the option `name`."""
    return "--" + name.replace("_", "-")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for every option; those that are not given do not appear among the parsed arguments."""
    types = get_type_hints(Options)
    for entry in dataclasses.fields(Options):
        if entry.name in GROUPS:
            group = parser.add_argument_group(GROUPS[entry.name])
        kind, text, default = types[entry.name], entry.metadata["help"], entry.default
        if get_origin(kind) is UnionType:
            kind = get_args(kind)[0]  # of "int | None"
        if default not in (None, "", False, dataclasses.MISSING):
            text += f" (default: {' '.join(map(str, default)) if isinstance(default, tuple) else default})"
        settings: dict[str, Any] = dict(dest=entry.name, default=argparse.SUPPRESS, help=text.replace("%", "%%"))
        if kind is bool:
            settings.update(action=argparse.BooleanOptionalAction)
        elif get_origin(kind) is dict:
            settings.update(action=_Pairs, nargs="+", metavar="KEY=VALUE")
        elif get_origin(kind) is tuple:
            several = Ellipsis in get_args(kind)
            settings.update(type=float, nargs="+" if several else 2, metavar="X" if several else ("LOW", "HIGH"))
        elif get_origin(kind) is Literal:
            settings.update(choices=get_args(kind))
        else:
            settings.update(type=kind, metavar=entry.metadata["metavar"] or METAVARS[kind])
        group.add_argument(flag(entry.name), **settings)


class _Pairs(argparse.Action):
    """Collect KEY=VALUE, the value read as YAML, into a dictionary; the flag can be given several times."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        collected = dict(getattr(namespace, self.dest, {}))
        for text in values:
            key, equals, value = text.partition("=")
            if not key or not equals:
                raise argparse.ArgumentError(self, f"{text}: write KEY=VALUE")
            try:
                collected[key] = load_yaml(value) if value else ""
            except UserError as error:
                raise argparse.ArgumentError(self, f"{text}: {error}") from None
        setattr(namespace, self.dest, collected)


def load_yaml(text: str) -> Any:
    """What a YAML text says; UserError, which tells the line, if it is none."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads 1e-3, too, as a number; YAML 1.1 wants a point in it."""

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+e[-+]?\d+$", re.I), list("-+0123456789")
    )
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or "unreadable"
        raise UserError((f"line {mark.line + 1}: " if mark else "") + f"not YAML: {problem}") from None


def parse(words: Sequence[str]) -> dict[str, Any]:
    """The options that these words of a command line give; UserError if they are none."""
    parser = FlagParser()
    add_flags(parser)
    return vars(parser.parse_args(words))


def read_config(path: str) -> dict[str, Any]:
    """The options in a YAML file whose keys are names of flags, with - or _; a key without a value says nothing.

    Raises:
        UserError: if it cannot be read, or names the file and the key that is unknown or of the wrong type.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or 'not a text in UTF-8'}") from None
    with about(path):
        config = load_yaml(text) or {}
        if not isinstance(config, dict):
            raise UserError("expected lines of the form KEY: VALUE")
        return parse(_as_flags(config))


def _as_flags(config: Mapping[Any, Any]) -> list[str]:
    """The words of a command line that say the same as `config`."""
    names = [entry.name for entry in dataclasses.fields(Options)]
    types = get_type_hints(Options)
    words = []
    for key, value in config.items():
        name = str(key).replace("-", "_")
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            raise UserError(f"unknown key {key}" + (f"; did you mean {near[0].replace('_', '-')}?" if near else ""))
        if name != key and name in config:
            raise UserError(f"{name} is given twice")
        if value in (None, {}, []):
            continue
        if value is False and get_origin(types[name]) is Literal:
            value = "no"  # which YAML reads as false
        if isinstance(value, bool):
            words.append(flag(name if value else f"no_{name}"))
        elif isinstance(value, dict):
            words += [flag(name), *(f"{part}={json.dumps(setting)}" for part, setting in value.items())]
        elif isinstance(value, list):
            words += [flag(name), *map(str, value)]
        else:
            whole = isinstance(value, float) and value.is_integer()  # 1e5 updates
            words.append(f"{flag(name)}={int(value) if whole else value}")
    return words


def gather(given: Mapping[str, Any], config: str | None = None) -> Options:
    """The options `given` as flags, else those of the file `config`, else the defaults; UserError unless they agree."""
    values = {} if config is None else read_config(config)
    flags = {entry.name: given[entry.name] for entry in dataclasses.fields(Options) if entry.name in given}
    # A length on the command line replaces the file's, whichever of the two ways each is given in.
    if "epochs" in flags or "max_update" in flags:
        values = {name: value for name, value in values.items() if name not in ("epochs", "max_update")}
    for name, value in flags.items():  # KEY=VALUE adds to the file's
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    options = Options(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    options.check()
    return options


def as_plain(options: Options) -> dict[str, Any]:
    """The options as numbers, texts, lists and dictionaries, for YAML and checkpoints."""
    values = dataclasses.asdict(options)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def changed(before: Mapping[str, Any], now: Options) -> list[str]:
    """The options that differ in a way that a resumed training cannot take, as `--seed: 1 before, 2 now`.

    What `before` does not tell had its default: the option is newer than the training.
    """
    before = {**as_plain(Options()), **before}
    return [
        f"{flag(name)}: {before[name]} before, {value} now"
        for name, value in as_plain(now).items()
        if name not in RESUMABLE and before[name] != value
    ]
