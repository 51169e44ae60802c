"""The recipe's modules, and text for it."""

import importlib.util
import sys
from pathlib import Path

RECIPE = Path(__file__).resolve().parents[3] / "examples" / "wmt14_de_en"
sys.path.append(str(RECIPE))
SIZES = {"train": 400, "valid": 30, "test": 20}


def load(name):
    """A script of the recipe as a module: other examples have a prepare.py as well."""
    specification = importlib.util.spec_from_file_location(f"wmt14_{name}", RECIPE / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


mirror = load("mirror")


def write_text(folder, splits):
    folder.mkdir(parents=True, exist_ok=True)
    for split, pairs in splits.items():
        for side, language in enumerate(("de", "en")):
            text = "".join(pair[side] + "\n" for pair in pairs)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
