"""Tensor factorization: a recording of three or more dims as components with one factor per dim."""

from neurointerp.analyses.tensor.cp import cp
from neurointerp.analyses.tensor.nonnegative_cp import nonnegative_cp
from neurointerp.analyses.tensor.rank import rank

__all__ = ["cp", "nonnegative_cp", "rank"]
