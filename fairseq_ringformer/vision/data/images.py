"""A data set of images, read by index: damaged ones are named, random choices depend on the index alone."""

import errno
import io
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from PIL import Image
from timm.data.readers.shared_count import SharedCount

from ...errors import UserError
from .randomness import preserved_random_state, seed_by
from .transforms import image_mode

# So many damaged images in a row are no accident: a failing disk, or files of another kind.
MAX_DAMAGED = 100
# No fault of the image: the same file can be read later.
NOT_DAMAGED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

Sample = tuple[Any, int, int]


class UnreadableData(UserError):
    """Images that cannot be read, too many to go on without them.

    In a worker process, torch puts its traceback before the text; only the last line is this error's own.
    """

    def __init__(self, text: str):
        super().__init__(text.strip().splitlines()[-1].removeprefix(f"{__name__}.UnreadableData: "))


class Damaged(Exception):
    """One image that cannot be decoded; its text says why."""


def decode(file: Any, mode: str) -> Image.Image:
    """Read an open file or bytes to the last pixel.

    Raises:
        Damaged: if that fails, and the image is at fault.
    """
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            return to_mode(image, mode)
    except Exception as error:  # PIL's decoders raise whatever they like: RuntimeError, struct.error, SyntaxError, ...
        raise _fault(error) from None


def read_image(path: str, channels: int) -> Image.Image:
    """The image in a file, grey (1) or in colour (3); UserError if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return decode(stream.read(), image_mode(channels))
    except Damaged:
        raise UserError(f"{path}: damaged, or no image") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder without images") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """The decoded image in `mode`; 16-bit grey is scaled to 8 bits, where PIL would cut it off at 255."""
    image.load()
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value / 256).convert("L")
    if isinstance(image.info.get("transparency"), bytes):
        image = image.convert("RGBA")  # the same colours, without PIL's warning
    return image if image.mode == mode else image.convert(mode)


def _fault(error: Exception) -> Exception:
    resources = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in NOT_DAMAGED)
    return error if resources else Damaged(str(error) or type(error).__name__)


class Labelled:
    """What every set of images has.

    Args:
        source: where the images are from.
        classes: names in order of the target.
        transform: from a PIL image to what the model reads.
        mode: PIL's, ``L`` or ``RGB``.
        seed: of the random choices of `transform`.
        training: whether another image takes the place of a damaged one.
    """

    def __init__(
        self,
        source: Any,
        classes: list[str],
        transform: Callable | None = None,
        mode: str = "RGB",
        seed: int = 0,
        training: bool = False,
    ):
        self.source = source
        self.classes = classes
        self.transform = transform
        self.mode = mode
        self.seed = seed
        self.training = training
        # Shared, because worker processes outlive an epoch (persistent_workers).
        self._epoch = SharedCount()

    def set_epoch(self, epoch: int) -> None:
        self._epoch.value = epoch


class Images(Labelled, torch.utils.data.Dataset):
    """The images of a timm or torchvision data set.

    `source` is timm's ``ImageDataset`` or one of torchvision's, without transforms; further arguments as
    :class:`Labelled`.
    """

    def __init__(self, source: torch.utils.data.Dataset, *args: Any, **kwargs: Any):
        super().__init__(source, *args, **kwargs)
        self._process = os.getpid()
        self._in_a_row: dict[int, Damaged] = {}

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        """The image's file, as far as it has one; in a tar file, the archive's name comes first."""
        reader = getattr(self.source, "reader", None)
        if hasattr(reader, "tar_state"):
            image, outer, inner = reader.samples[index]
            parts = (reader.root, outer, inner.name if inner is not None else None, image.name)
            name = "/".join(part for part in parts if part)
        elif reader is not None:
            name = reader.filename(index, absolute=True)
        else:
            name = getattr(self.source, "samples", {index: [None]})[index][0]
        return str(name) if name else f"image {index}"

    def damaged_names(self, damaged: Sequence[int]) -> list[str]:
        """The names of damaged images by their indices, the last parts of samples."""
        return [self.name(index) for index in damaged]

    def load(self, index: int) -> tuple[Image.Image, int]:
        """Decode an image.

        Raises:
            Damaged: if it cannot be decoded.
        """
        reader = getattr(self.source, "reader", None)
        try:
            if reader is None:
                image, target = self.source[index]
                return to_mode(image, self.mode), int(target)
            if self._process != os.getpid():
                self._process = os.getpid()
                close_archives(reader)
            file, target = reader[index]
        except Exception as error:
            raise _fault(error) from None
        with file:
            return decode(file, self.mode), int(target)

    def __getitem__(self, index: int) -> Sample:
        """The image, its target, and -1; or a stand-in and `index` if it is damaged.

        In training the stand-in is the next image that can be read; else it is black, with target -1.

        Raises:
            UnreadableData: after ``MAX_DAMAGED`` in a row.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        """The samples of a batch, for torch's loader: keeping the random state costs as much as an image."""
        with preserved_random_state() if self.training else nullcontext():
            return [self._sample(index) for index in indices]

    def _sample(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        at, damaged = index, -1
        while True:
            try:
                image, target = self.load(at)
                self._in_a_row.clear()
                break
            except Damaged as reason:
                self._count_damaged(at, reason)
                damaged = index
                if not self.training:
                    image, target = Image.new(self.mode, (256, 256)), -1
                    break
                at = (at + 1) % len(self)
        if self.transform is not None:
            if self.training:
                seed_by(self.seed, self._epoch.value, index)
            image = self.transform(image)
        return image, target, damaged

    def _count_damaged(self, index: int, reason: Damaged) -> None:
        self._in_a_row.setdefault(index, reason)
        if len(self._in_a_row) >= min(MAX_DAMAGED, len(self)):
            first = next(iter(self._in_a_row))
            why = self._in_a_row[first]
            name, count = self.name(first), len(self._in_a_row)
            raise UnreadableData(f"{count} damaged images in a row, the first is {name} ({why})")


def close_archives(reader: Any) -> None:
    """Make timm's reader of tar files open them anew.

    Processes that inherit an open file share its position, and read each other's bytes.
    """
    states = getattr(reader, "tar_state", None)
    for state in [] if states is None else states.values() if isinstance(states, dict) else [states]:
        for archive in (*state.children.values(), state):
            archive.reset()
