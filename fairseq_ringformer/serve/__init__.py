"""Translating for other programs, and for people with a browser: LibreTranslate's HTTP interface, and a page.

A request runs through :mod:`.guard` (who may ask), :mod:`.messages` (what is asked), :mod:`.app` (limits) and
:mod:`.batching` (what arrives together is translated together) to a :class:`..text.Translator`.
"""
