"""The models' names in timm: one for each row of the paper's Tables 2 and 3, and four for small images."""

from typing import TYPE_CHECKING, Any, NamedTuple

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import checkpoint_filter_fn  # for another image size, resamples positions

if TYPE_CHECKING:
    from .classifier import RingClassifier


class Size(NamedTuple):
    """What a name stands for; images are `(channels, height, width)`."""

    architecture: str
    embed_dim: int
    ffn_dim: int
    depth: int
    num_heads: int
    num_classes: int
    patch_size: int = 16
    image: tuple = (3, 224, 224)


def _paper(architecture: str, embed_dim: int, ffn_dim: int, depth: int) -> Size:
    # Table 2: 6 levels, ImageNet-small; Table 3: 12 levels, ImageNet-1K.
    heads, classes = (8, 100) if depth == 6 else (12, 1000)
    return Size(architecture, embed_dim, ffn_dim, depth, heads, classes)


PAPER = [
    _paper("vanilla", 512, 2048, 6),
    _paper("universal", 512, 2048, 6),
    _paper("owf", 376, 1024, 6),
    _paper("ring", 512, 2048, 6),
    _paper("vanilla", 328, 1536, 6),
    _paper("universal", 848, 3072, 6),
    _paper("owf", 512, 2048, 6),
    _paper("ring", 728, 3072, 6),
    _paper("vanilla", 768, 3072, 12),
    _paper("owf", 768, 3072, 12),
    _paper("universal", 768, 3072, 12),
    _paper("ring", 768, 3072, 12),
    _paper("universal", 1560, 6240, 12),
    _paper("ring", 1284, 5120, 12),
]
MODELS: dict[str, Size] = {
    **{f"vit_{size.architecture}_{size.embed_dim}_l{size.depth}_patch16_224": size for size in PAPER},
    **{
        f"vit_{architecture}_tiny_patch4_28": Size(architecture, 96, 384, 4, 3, 10, 4, (1, 28, 28))
        for architecture in ("vanilla", "universal", "owf", "ring")
    },
}


def _cfg(size: Size) -> dict[str, Any]:
    grey = size.image[0] == 1
    return {
        "url": "",
        "num_classes": size.num_classes,
        "input_size": size.image,
        "fixed_input_size": True,
        "pool_size": None,
        # Full size: of ImageNet's images the paper takes 224 of 256 pixels.
        "crop_pct": 1.0 if grey else 0.875,
        "crop_mode": "center",
        "interpolation": "bicubic",
        "mean": (0.5,) if grey else IMAGENET_DEFAULT_MEAN,
        "std": (0.5,) if grey else IMAGENET_DEFAULT_STD,
        "first_conv": "patch_embed.proj",
        "classifier": "head",
        "license": "mit",
        "paper_name": "RingFormer: Rethinking Recurrent Transformer with Adaptive Level Signals",
        "paper_ids": "arXiv:2502.13181",
    }


default_cfgs = generate_default_cfgs({name: _cfg(size) for name, size in MODELS.items()})


def create(name: str, pretrained: bool = False, **kwargs: Any) -> "RingClassifier":
    """The model `name`; keywords of :class:`~.classifier.RingClassifier` override its size."""
    # Not above: this module is imported as soon as timm is, and that may be in the middle of importing the classifier.
    from .classifier import RingClassifier

    size = MODELS[name]._asdict()
    del size["num_classes"]  # timm takes it, and the channels, from the configuration
    size["img_size"] = size.pop("image")[1:]
    return build_model_with_cfg(
        RingClassifier,
        name,
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        feature_cfg=dict(out_indices=kwargs.pop("out_indices", 3), feature_cls="getter"),
        **{**size, **kwargs},
    )


def _register(name: str) -> None:
    def entrypoint(pretrained: bool = False, **kwargs: Any) -> "RingClassifier":
        return create(name, pretrained, **kwargs)

    # timm takes a model's name from its function's, and its defaults from the module that this is in.
    entrypoint.__name__ = entrypoint.__qualname__ = name
    entrypoint.__doc__ = f"{name}: {MODELS[name]}"
    register_model(entrypoint)


__all__: list = []
for _name in MODELS:
    _register(_name)
