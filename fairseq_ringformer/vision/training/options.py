"""Every option of a training, declared once: name, default, help and limits; flags and configuration files follow."""

import argparse
import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin, get_type_hints


def option(
    default: Any,
    group: str,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    metavar: str | None = None,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    resumable: bool = False,
):
    """A field of :class:`Options`.

    Args:
        at_least, above, below: limits of a number.
        resumable: a training may go on with another value than it began with.
    """
    metadata = dict(
        group=group,
        help=help,
        choices=choices,
        metavar=metavar,
        at_least=at_least,
        above=above,
        below=below,
        resumable=resumable,
    )
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def _probability(default: float, group: str, help: str):
    return option(default, group, help, metavar="P", at_least=0, below=1)


@dataclass
class Options:
    """How a classifier is trained. Lengths are in updates of the weights, sizes in pixels."""

    data: str = option("", "data", "folder of the images", metavar="DIR", resumable=True)
    dataset: str = option(
        "",
        "data",
        "how they lie there, as in timm: nothing for class folders or a tar, torch/fashion_mnist, wds/, hfds/NAME",
        metavar="NAME",
    )
    train_split: str = option("train", "data", "split to train on", metavar="NAME")
    valid_split: str = option("validation", "data", "split to evaluate on after each epoch", metavar="NAME")
    damaged: str = option(
        "skip",
        "data",
        "images that cannot be decoded: another stands in (named in DIR/damaged.txt), or all images "
        "are decoded first and the training refused",
        choices=("skip", "refuse"),
    )

    model: str = option("", "model", "name in timm, vit_ring_tiny_patch4_28 for one", metavar="NAME")
    model_arg: dict[str, Any] = option(
        {}, "model", "arguments of the model besides the flags, values as in YAML", metavar="KEY=VALUE"
    )
    num_classes: int | None = option(None, "model", "default: those of the data", metavar="N", at_least=1)
    img_size: int | None = option(None, "model", "height and width; default: the model's", metavar="N", at_least=1)
    in_chans: int | None = option(None, "model", "image channels; default: the model's", metavar="N", at_least=1)
    dropout: float = _probability(0.0, "model", "of embeddings and of what the sub-layers and the activation put out")
    drop_rate: float = _probability(0.0, "model", "dropout before the head")
    drop_path: float = _probability(0.0, "model", "stochastic depth, at the last level")
    init_from: str = option(
        "",
        "model",
        "begin with the weights of this checkpoint; another number of classes gets a new head",
        metavar="FILE",
    )

    epochs: int | None = option(None, "length", "passes over the images", metavar="N", at_least=1, resumable=True)
    max_update: int | None = option(
        None, "length", "updates, instead of epochs", metavar="N", at_least=1, resumable=True
    )
    batch_size: int = option(128, "length", "images per process and step", metavar="N", at_least=1, resumable=True)
    grad_accum: int = option(
        1,
        "length",
        "steps per update; the effective batch is batch size x processes x steps",
        metavar="N",
        at_least=1,
        resumable=True,
    )

    opt: str = option("adam", "optimisation", "any of timm's optimisers", metavar="NAME")
    lr: float = option(1e-3, "optimisation", "peak learning rate", metavar="X", above=0)
    weight_decay: float = option(0.0, "optimisation", "not of biases and norms", metavar="X", at_least=0)
    opt_arg: dict[str, Any] = option(
        {},
        "optimisation",
        "arguments of the optimiser besides the flags, betas=[0.9,0.98] for one",
        metavar="KEY=VALUE",
    )
    clip_grad: float = option(1.0, "optimisation", "largest gradient norm; 0: unlimited", metavar="X", at_least=0)
    layer_decay: float | None = option(
        None, "optimisation", "factor of the learning rate per level downwards", metavar="X", above=0
    )
    sched: str = option(
        "cosine", "optimisation", "learning rate after warm-up", choices=("cosine", "poly", "tanh", "constant")
    )
    warmup_updates: int = option(
        0, "optimisation", "updates in which the learning rate grows from 0", metavar="N", at_least=0
    )
    min_lr: float = option(0.0, "optimisation", "learning rate at the end", metavar="X", at_least=0)
    ema: float | None = option(
        None,
        "optimisation",
        "also keep an exponential moving average of the weights, with this decay; evaluated and "
        "saved too, and by it the best checkpoint is chosen",
        metavar="DECAY",
        above=0,
        below=1,
    )

    loss: str = option("ce", "loss", "cross-entropy, or binary cross-entropy by class", choices=("ce", "bce"))
    label_smoothing: float = _probability(0.0, "loss", "share of the target spread over all classes")
    mixup: float = option(0.0, "loss", "timm's Mixup, parameter alpha; 0: none", metavar="X", at_least=0)
    cutmix: float = option(0.0, "loss", "timm's CutMix, parameter alpha; 0: none", metavar="X", at_least=0)

    crop: str = option(
        "rrc",
        "augmentation",
        "random resized crop; resize to size/crop-pct and random crop; zero-pad and random crop",
        choices=("rrc", "resize", "pad", "none"),
    )
    padding: int = option(2, "augmentation", "pixels on each side, of --crop pad", metavar="N", at_least=0)
    scale: tuple[float, float] = option((0.08, 1.0), "augmentation", "share of the area kept, of --crop rrc", above=0)
    ratio: tuple[float, float] = option((0.75, 1.3333), "augmentation", "width by height, of --crop rrc", above=0)
    hflip: float = option(0.5, "augmentation", "probability of a horizontal flip", metavar="P", at_least=0)
    vflip: float = option(0.0, "augmentation", "probability of a vertical flip", metavar="P", at_least=0)
    auto_augment: str = option(
        "none",
        "augmentation",
        "none, trivial (TrivialAugmentWide), or timm's text, rand-m9-mstd0.5-inc1 for one",
        metavar="NAME",
    )
    color_jitter: float = option(0.0, "augmentation", "strength of colour jitter", metavar="X", at_least=0)
    random_erasing: float = option(0.0, "augmentation", "probability of erasing a part", metavar="P", at_least=0)
    mean: tuple[float, ...] | None = option(
        None, "augmentation", "mean by channel to subtract; default: the model's", metavar="X"
    )
    std: tuple[float, ...] | None = option(
        None, "augmentation", "deviation by channel to divide by; default: the model's", metavar="X", above=0
    )
    crop_pct: float | None = option(
        None,
        "augmentation",
        "share of the resized side that evaluation keeps; default: the model's",
        metavar="X",
        above=0,
    )
    interpolation: str = option("", "augmentation", "of resizing; default: the model's", metavar="NAME")

    output: str = option("", "run", "folder of checkpoints and logs", metavar="DIR", resumable=True)
    resume: bool = option(
        False,
        "run",
        "refuse to begin anew; without this, a training goes on if there is DIR/last.pt, else begins",
        resumable=True,
    )
    restart: bool = option(False, "run", "begin anew, whatever is in DIR", resumable=True)
    seed: int = option(
        1, "run", "of weights, order of images and all random choices", metavar="N", at_least=0, below=2**32
    )
    workers: int = option(2, "run", "processes that load images, per process", metavar="N", at_least=0, resumable=True)
    mixed_precision: str = option("no", "run", "type of matrix products", choices=("no", "bf16", "fp16"))
    checkpoint_activations: bool = option(False, "run", "recompute activations instead of keeping them", resumable=True)
    compile: bool = option(False, "run", "torch.compile", resumable=True)
    log_interval: int = option(50, "run", "updates per line of the log", metavar="N", at_least=1, resumable=True)
    save_interval: int = option(
        1000, "run", "updates after which DIR/last.pt is saved inside an epoch", metavar="N", at_least=1, resumable=True
    )
    threads: int | None = option(
        None, "run", "torch's threads on the CPU; default: torch's choice", metavar="N", at_least=1, resumable=True
    )
    device: str = option("auto", "run", "auto: a GPU if there is one", choices=("auto", "cpu", "cuda"), resumable=True)

    def check(self) -> None:
        """ValueError, with the flag's name, unless each value is possible by itself and all agree."""
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            for number in value if isinstance(value, (tuple, list)) else (value,):
                _check_limits(entry, number)
        for name in ("data", "model", "output"):
            if not getattr(self, name):
                raise ValueError(f"{flag(name)} is missing")
        if (self.epochs is None) == (self.max_update is None):
            both = "one of --epochs and --max-update, not both" if self.epochs else "--epochs N or --max-update N"
            raise ValueError(f"say how long to train: {both}")
        if self.resume and self.restart:
            raise ValueError("--resume and --restart exclude each other")
        if self.mixup + self.cutmix > 0 and self.batch_size % 2:
            raise ValueError(f"--mixup and --cutmix mix images in pairs: --batch-size {self.batch_size} must be even")
        if self.min_lr > self.lr:
            raise ValueError(f"--min-lr {self.min_lr:g} is above --lr {self.lr:g}")
        if self.warmup_updates and self.warmup_updates >= (self.max_update or float("inf")):
            raise ValueError(f"--warmup-updates {self.warmup_updates} leaves nothing of --max-update {self.max_update}")


def flag(name: str) -> str:
    """The flag of the option `name`."""
    return "--" + name.replace("_", "-")


def _check_limits(entry: dataclasses.Field, value: Any) -> None:
    limits = entry.metadata
    if limits["choices"] and value not in limits["choices"]:
        choices = ", ".join(choice for choice in limits["choices"] if choice)
        raise ValueError(f"{flag(entry.name)} {value}: choose one of {choices}")
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return
    for limit, holds, words in (
        ("at_least", lambda bound: value >= bound, "at least"),
        ("above", lambda bound: value > bound, "above"),
        ("below", lambda bound: value < bound, "below"),
    ):
        if limits[limit] is not None and not holds(limits[limit]):
            raise ValueError(f"{flag(entry.name)} {value:g}: must be {words} {limits[limit]:g}")


class _KeyValue(argparse.Action):
    """Collect KEY=VALUE, the value read as YAML, into a dictionary; the flag can be given several times."""

    def __call__(self, parser, namespace, values, option_string=None):
        import yaml

        collected = dict(getattr(namespace, self.dest, None) or {})
        for text in values:
            key, equals, value = text.partition("=")
            if not key or not equals:
                raise argparse.ArgumentError(self, f"{text}: write KEY=VALUE")
            try:
                collected[key] = _number(yaml.safe_load(value)) if value else ""
            except yaml.YAMLError:
                raise argparse.ArgumentError(self, f"{text}: {value} is no YAML value") from None
        setattr(namespace, self.dest, collected)


def _number(value: Any) -> Any:
    """YAML takes 1e-3, without a point, for a text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    return value


def add_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for every option; those that are not given do not appear among the parsed arguments."""
    types = get_type_hints(Options)
    groups: dict[str, Any] = {}
    for entry in dataclasses.fields(Options):
        about, kind = entry.metadata, _plain(types[entry.name])
        group = groups.get(about["group"]) or groups.setdefault(
            about["group"], parser.add_argument_group(about["group"])
        )
        settings: dict[str, Any] = dict(dest=entry.name, default=argparse.SUPPRESS, help=_help(entry))
        if kind is bool:
            settings["action"] = argparse.BooleanOptionalAction
        elif get_origin(kind) is dict:
            settings.update(action=_KeyValue, nargs="+", metavar=about["metavar"])
        elif get_origin(kind) is tuple:
            variable = get_args(kind)[-1] is Ellipsis
            settings.update(type=float, nargs="+" if variable else 2, metavar=about["metavar"] or ("LOW", "HIGH"))
        else:
            settings.update(type=kind, metavar=about["metavar"])
            if about["choices"]:
                settings["choices"] = [choice for choice in about["choices"] if choice]
        group.add_argument(flag(entry.name), **settings)


def _help(entry: dataclasses.Field) -> str:
    text, default = entry.metadata["help"], entry.default
    if default in (None, "", False, dataclasses.MISSING):
        return text.replace("%", "%%")
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    return f"{text} (default: {shown})".replace("%", "%%")


def _plain(kind: Any) -> Any:
    """`kind` without Optional."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    return parts[0] if type(None) in get_args(kind) else kind


def read_config(path: str) -> dict[str, Any]:
    """The options in a YAML file whose keys are names of flags, with - or _.

    Raises:
        ValueError: if it cannot be read, or names the file and the key that is unknown or of the wrong type.
    """
    import yaml

    try:
        with open(path, encoding="utf-8") as stream:
            config = yaml.safe_load(stream)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text in UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"{path}{where}: not YAML: {getattr(error, 'problem', None) or 'unreadable'}") from None
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise ValueError(f"{path}: expected lines of the form KEY: VALUE")
    types, values = get_type_hints(Options), {}
    for key, value in config.items():
        name = str(key).replace("-", "_")
        if name not in types:
            near = difflib.get_close_matches(name, types, 1)
            hint = f"; did you mean {near[0].replace('_', '-')}?" if near else ""
            raise ValueError(f"{path}: unknown key {key}{hint}")
        if name in values:
            raise ValueError(f"{path}: {key} is given twice")
        try:
            values[name] = _convert(types[name], value)
        except (TypeError, ValueError):
            raise ValueError(f"{path}: {key}: {value!r} is not {_describe(types[name])}") from None
    return values


def _convert(kind: Any, value: Any) -> Any:
    """`value`, as YAML gives it, as a `kind`; TypeError or ValueError if it is none."""
    if type(None) in get_args(kind):
        return None if value is None else _convert(_plain(kind), value)
    value = _number(value) if kind is not str else value
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        numbers = tuple(_convert(float, part) for part in (value if isinstance(value, list) else [value]))
        if parts[-1] is not Ellipsis and len(parts) != len(numbers):
            raise ValueError
        return numbers
    if get_origin(kind) is dict:
        if value is None or not isinstance(value, dict):
            raise TypeError
        return {str(key): _number(part) for key, part in value.items()}
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is str and value is None:
        return ""
    if type(value) is not kind:
        raise TypeError
    return value


def _describe(kind: Any) -> str:
    kind = _plain(kind)
    if get_origin(kind) is tuple:
        return "a list of numbers" if get_args(kind)[-1] is Ellipsis else "a list of two numbers"
    if get_origin(kind) is dict:
        return "a mapping of names to values"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]


def gather(given: dict[str, Any], config: str | None = None) -> Options:
    """The options `given` as flags, else those of the file `config`, else the defaults; checked.

    Raises:
        ValueError: in one line.
    """
    values = read_config(config) if config else {}
    flags = {entry.name for entry in dataclasses.fields(Options)} & set(given)
    # A length on the command line replaces the file's, whichever of the two ways each is given in.
    if flags & {"epochs", "max_update"}:
        values = {name: value for name, value in values.items() if name not in ("epochs", "max_update")}
    values.update({name: _flag_value(given[name]) for name in flags})
    options = Options(**values)
    options.check()
    return options


def _flag_value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def as_plain(options: Options) -> dict[str, Any]:
    """The options as numbers, texts, lists and dictionaries, for YAML and checkpoints."""
    values = dataclasses.asdict(options)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def changed(before: dict[str, Any], now: Options) -> list[str]:
    """The options that differ in a way that a resumed training cannot take, as `--seed: 1 before, 2 now`."""
    after = as_plain(now)
    return [
        f"{flag(entry.name)}: {before[entry.name]} before, {after[entry.name]} now"
        for entry in dataclasses.fields(Options)
        if not entry.metadata["resumable"] and entry.name in before and before[entry.name] != after[entry.name]
    ]
