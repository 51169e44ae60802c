"""Print how many updates a training of fairseq has behind it: updates_so_far.py CHECKPOINTS."""

import sys
from pathlib import Path

from fairseq_ringformer.analysis.study.last_checkpoint import updates_so_far
from fairseq_ringformer.errors import UserError

if __name__ == "__main__":
    try:
        print(updates_so_far(Path(sys.argv[1])))
    except UserError as error:
        sys.exit(f"train: {error}")
