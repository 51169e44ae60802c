"""The options of a training. The command declares them, to show its flags without importing torch and timm."""

from ...cli.classifier_options import Options, as_plain, changed

__all__ = ["Options", "as_plain", "changed"]
