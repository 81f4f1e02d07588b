"""Tensor factorization: a recording of three or more dims as components with one factor per dim."""

from neurointerp.analyses.tensor.cp import cp
from neurointerp.analyses.tensor.nonnegative_cp import nonnegative_cp
from neurointerp.analyses.tensor.parafac2 import parafac2
from neurointerp.analyses.tensor.rank import rank
from neurointerp.analyses.tensor.stability import stability
from neurointerp.analyses.tensor.tucker import tucker

__all__ = ["cp", "nonnegative_cp", "parafac2", "rank", "stability", "tucker"]
