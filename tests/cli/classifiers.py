"""Checkpoints of tiny image classifiers that have learned nothing, and images for them."""

from fairseq_ringformer.files import write_checkpoint
from tests.vision.images import write_folder
from tests.vision.models import small

CLASSES = tuple("abcde")
SIZE = dict(embed_dim=32, ffn_dim=48, depth=3, num_heads=4, patch_size=8, img_size=32, in_chans=1)
INPUT = dict(size=(1, 32, 32), mean=(0.3,), std=(0.25,), interpolation="bicubic", crop_pct=1.0)


def classifier(path, name="vit_ring_tiny_patch4_28", seed=1, classes=CLASSES, **args) -> str:
    """Write a checkpoint of the model `name`. Returns its path."""
    model = small(name, seed, **{**SIZE, **args})
    state = dict(arch=name, model_args={**SIZE, **args}, num_classes=5, classes=list(classes), input=INPUT)
    path.parent.mkdir(exist_ok=True)
    write_checkpoint({**state, "state_dict": model.state_dict()}, str(path))
    return str(path)


def write_images(folder, count=8):
    """Write folder/validation with `count` images in each class. Returns `folder`."""
    write_folder(folder / "validation", classes=CLASSES, count=count, size=32, mode="L")
    return folder
