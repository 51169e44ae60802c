"""The one exception of the recipe that its user is meant to read."""


class RecipeError(Exception):
    """What is wrong and what to do about it, in one line; ``prepare.py`` prints it and exits with status 1."""
