"""Recordings side by side."""

from neurointerp.analyses.comparison.compare import compare

__all__ = ["compare"]
