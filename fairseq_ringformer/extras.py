"""What to do where a package is missing that only a part of the project needs."""

VISION = "run scripts/setup.sh vision in a clone, or pip install '.[vision]'"
