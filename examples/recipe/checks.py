"""What a recipe looks at before it works for long."""

import importlib.util
import tempfile
from pathlib import Path

from recipe.errors import RecipeError


def make_writable(*folders: Path) -> None:
    """Make ``folders`` where they are not there; RecipeError if nothing can be written into one."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise RecipeError(f"cannot write to {folder} ({error.strerror}): choose another folder") from None


def require_modules(*names: str) -> None:
    """RecipeError if one of these Python modules is not installed; none is imported."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise RecipeError(f"Python module {name} is missing: install this project with 'pip install -e .' first")
