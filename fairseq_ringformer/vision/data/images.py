"""A data set of images, read by index: damaged ones are named, random choices depend on the index alone."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import torch
from PIL import Image
from timm.data.readers.shared_count import SharedCount

from ...errors import UserError
from .pixels import Damaged, decode, fault
from .randomness import preserved_random_state, seed_by

# So many damaged images in a row are no accident: a failing disk, or files of another kind.
MAX_DAMAGED = 100

Sample = tuple[Any, int, int]


class UnreadableData(UserError):
    """Images that cannot be read, too many to go on without them.

    In a worker process, torch puts its traceback before the text; only the last line is this error's own.
    """

    def __init__(self, text: str):
        super().__init__(text.strip().splitlines()[-1].removeprefix(f"{__name__}.UnreadableData: "))


class Labelled:
    """What every set of images has.

    Args:
        source: where the images are from.
        classes: names in order of the target.
        transform: from a PIL image to what the model reads.
        mode: PIL's, ``L`` or ``RGB``.
        background: what shows through transparent pixels.
        seed: of the random choices of `transform`.
        training: whether another image takes the place of a damaged one.
    """

    def __init__(
        self,
        source: Any,
        classes: list[str],
        transform: Callable | None = None,
        mode: str = "RGB",
        background: str = "white",
        seed: int = 0,
        training: bool = False,
    ):
        self.source = source
        self.classes = classes
        self.transform = transform
        self.mode = mode
        self.background = background
        self.seed = seed
        self.training = training
        # Shared, because worker processes outlive an epoch (persistent_workers).
        self._epoch = SharedCount()

    @property
    def others(self) -> list[str]:
        """Names of the files that lie among the images and are none."""
        return getattr(self.source, "others", [])

    def set_epoch(self, epoch: int) -> None:
        self._epoch.value = epoch


class Images(Labelled, torch.utils.data.Dataset):
    """Images that can be read in any order.

    `source` has a length, ``load(index)`` to an encoded image (bytes, an open file) or one of PIL's and its target, and
    ``name(index)``; further arguments as :class:`Labelled`.
    """

    def __init__(self, source: Any, *args: Any, **kwargs: Any):
        super().__init__(source, *args, **kwargs)
        self._in_a_row: dict[int, Damaged] = {}

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        """The image's file, as far as it has one; in a tar file, the archive's name comes first."""
        return self.source.name(index)

    def damaged_names(self, damaged: Sequence[int]) -> list[str]:
        """The names of damaged images by their indices, the last parts of samples."""
        return [self.name(index) for index in damaged]

    def load(self, index: int, mode: str | None = None) -> tuple[Image.Image, int]:
        """Decode an image, in the data set's mode or another.

        Raises:
            Damaged: if it cannot be decoded.
        """
        try:
            content, target = self.source.load(index)
        except Exception as error:
            raise fault(error) from None
        with content if hasattr(content, "read") else nullcontext():
            return decode(content, mode or self.mode, self.background), int(target)

    def peek(self, count: int) -> list[Image.Image]:
        """Some of the images as they are, in colour and upright, from all over the data set."""
        found = []
        for index in range(0, len(self), max(1, len(self) // count)):
            with suppress(Damaged):
                found.append(self.load(index, "RGB")[0])
        return found[:count]

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
