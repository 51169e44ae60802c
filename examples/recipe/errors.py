"""The one exception of a recipe that its user is meant to read."""


class RecipeError(Exception):
    """What is wrong and what to do about it, in one line; the recipe prints it and exits with status 1."""
