"""Encoding models: how well, and by what weights, features predict each unit's responses."""

from neurointerp.analyses.encoding.ridge import ridge

__all__ = ["ridge"]
