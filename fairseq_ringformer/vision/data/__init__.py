"""Data sets of images and their classes: opening, decoding, augmenting, finding damaged ones."""

from .checking import check_images, check_same_classes, no_images
from .images import Images, UnreadableData
from .opening import open_images
from .pixels import read_image
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
    "no_images",
    "open_images",
    "read_image",
    "train_transform",
]
