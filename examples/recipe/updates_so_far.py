"""Print how many updates a training of fairseq has behind it: updates_so_far.py CHECKPOINTS ARCH BINARISED_DATA SEED.

What was trained as another architecture, with other dictionaries or another seed, is an error: it would pass for what is asked for.
"""

import sys
from pathlib import Path

from fairseq_ringformer._fairseq import quiet
from fairseq_ringformer.analysis.study.last_checkpoint import LAST, updates_so_far
from fairseq_ringformer.errors import UserError


def check(checkpoint: Path, arch: str, data: Path, seed: int) -> None:
    """Raises UserError if `checkpoint` is not of `arch` and `seed`, or its dictionaries are not those of `data`."""
    from fairseq_ringformer.export.checkpoints import read_fairseq_checkpoint, settings
    from fairseq_ringformer.export.loading import architecture
    from fairseq_ringformer.models.assets import assets_of

    state = read_fairseq_checkpoint(str(checkpoint))
    if architecture(state) != arch:
        raise UserError(f"{checkpoint} was trained as {architecture(state)}: choose another --output")
    trained_with = settings(state, "common").get("seed", seed)
    if trained_with != seed:
        raise UserError(f"{checkpoint} was trained with --seed {trained_with}: choose another --output")
    assets = assets_of(state) or {"languages": (), "dictionaries": ()}
    for language, text in zip(assets["languages"], assets["dictionaries"], strict=True):
        if (data / f"dict.{language}.txt").read_text(encoding="utf-8") != text:
            raise UserError(
                f"{checkpoint} was trained with other sub-words than those of {data}: choose another --output, or "
                "remove that training"
            )


if __name__ == "__main__":
    try:
        checkpoints, arch, data, seed = sys.argv[1:]
        done = updates_so_far(Path(checkpoints))
        if done:
            with quiet():
                check(Path(checkpoints, LAST), arch, Path(data), int(seed))
        print(done)
    except (UserError, OSError) as error:
        sys.exit(f"train: {error}")
