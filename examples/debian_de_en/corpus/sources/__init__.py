"""One aligner per source of text.

Each module has a function ``align(packages, skipped)``. ``packages`` maps a package name to its files
(path -> content as bytes); the pairs come out as an iterator of ``Pair``, still with the typography of the
source and possibly of several sentences each. ``skipped`` is a Counter to which the aligner adds, by reason,
the texts that it saw but could not pair.
"""
