"""Recordings side by side."""

from neurointerp.analyses.comparison.compare import compare
from neurointerp.analyses.comparison.differences import differences
from neurointerp.analyses.comparison.sensitivity import sensitivity

__all__ = ["compare", "differences", "sensitivity"]
