"""Random sentence specifications."""

from language.sampler.sentences import Sampler

__all__ = ["Sampler"]
