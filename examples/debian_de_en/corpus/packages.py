"""Debian packages for this recipe, which has a source that needs none."""

from recipe.packages import Archive, Package, why

__all__ = ["OTHERWISE", "Package", "download", "find", "read", "run", "why"]

OTHERWISE = "or use --source numbers, which needs no packages"
_archive = Archive(OTHERWISE)
run, find, download, read = _archive.run, _archive.find, _archive.download, _archive.read
