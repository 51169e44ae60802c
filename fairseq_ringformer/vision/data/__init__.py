"""Data sets of images and their classes: opening, decoding, augmenting, finding damaged ones."""

from .checking import check_images, check_same_classes
from .images import Images, UnreadableData, read_image
from .opening import open_images
from .streams import StreamedImages
from .transforms import Augmentation, InputConfig, eval_transform, train_transform

__all__ = [
    "Augmentation",
    "Images",
    "InputConfig",
    "StreamedImages",
    "UnreadableData",
    "check_images",
    "check_same_classes",
    "eval_transform",
    "open_images",
    "read_image",
    "train_transform",
]
