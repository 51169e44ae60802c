"""German-English text from Debian packages: fetch, align, clean, split by document, cut into sub-words.

Every module holds one idea; ``prepare.py`` one folder up strings them together.
"""
