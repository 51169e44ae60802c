"""Image classifiers as ONNX files."""

import argparse
import os

from .. import extras
from ..errors import UserError
from .checkpoints import check_output, is_classifier
from .errors import load_any_checkpoint, require_timm
from .subwords import ARGUMENTS

# Flags of the other engine, which mean nothing here.
TEXT_ONLY = ("data", "quantization", "source_lang", "target_lang", *ARGUMENTS)


def export_classifier(args: argparse.Namespace) -> int:
    """Run ``ringformer export --to onnx``."""
    for name in TEXT_ONLY:
        if getattr(args, name, None) is not None:
            raise UserError(f"--{name.replace('_', '-')} is for translators: leave it out with --to onnx")
    check_output(args.output, [args.path])
    if os.path.exists(args.output) and not args.force:
        raise UserError(f"--output {args.output} exists: name another file, or add --force to replace it")
    state = load_any_checkpoint(args.path)
    if not is_classifier(state):
        raise UserError(f"{args.path}: no image classifier's checkpoint: translators are exported --to ctranslate2")
    require_timm()
    from .._fairseq import quiet
    from ..vision.checkpoint import model_of

    try:
        from ..export.onnx import export_onnx, plain_classifier

        model, state = model_of(args.path, state)
        plain = plain_classifier(model)
        info = {key: state[key] for key in ("classes", "input")}
        partial = f"{args.output}.{os.getpid()}.partial"
        try:
            with quiet():
                worst = export_onnx(plain, partial, info, original=model)
            os.replace(partial, args.output)
        finally:
            if os.path.exists(partial):
                os.remove(partial)
    except ImportError as error:
        raise UserError(f"ONNX needs more packages ({error}): {extras.VISION}") from None
    except ValueError as error:
        raise UserError(f"{args.path}: {error}") from None
    except OSError as error:
        raise UserError(f"cannot write {args.output}: {error.strerror or error}") from None
    folded = "folded, " if plain is not model else ""
    print(
        f"{state['arch']}, {os.path.getsize(args.path) / 1e6:.1f} MB: {folded}{os.path.getsize(args.output) / 1e6:.1f} MB, "
        f"outputs within {worst:.0e} of torch's, written to {args.output}"
    )
    return 0
