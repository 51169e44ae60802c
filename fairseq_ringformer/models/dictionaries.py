"""Dictionaries of models whose text is not at hand."""

import functools

from fairseq.data import Dictionary

from ..errors import UserError


@functools.lru_cache(maxsize=2)
def numbered_dictionary(size: int) -> Dictionary:
    """A dictionary of `size` entries, special symbols included, for a model whose text is not at hand.

    Raises:
        UserError: if that is less than the special symbols are.
    """
    dictionary = Dictionary()
    if size < len(dictionary):
        raise UserError(f"a vocabulary of {size} entries is too small: fairseq's special symbols are {len(dictionary)}")
    for index in range(size - len(dictionary)):
        dictionary.add_symbol(f"symbol{index}")
    return dictionary
