"""What to do where a package is missing that only a part of the project needs."""

import contextlib
from collections.abc import Iterator

from .errors import UserError

VISION = "run scripts/setup.sh vision in a clone, or pip install '.[vision]'"
DEPLOY = "pip install '.[deploy]' in a clone"
SUBWORDS = "pip install tokenizers subword-nmt sacremoses"


@contextlib.contextmanager
def needed(task: str, remedy: str) -> Iterator[None]:
    """Say in a line which package lacks for `task`, and what to do."""
    try:
        yield
    except ImportError as error:
        raise UserError(f"{task} needs more packages ({error}): {remedy}") from None
