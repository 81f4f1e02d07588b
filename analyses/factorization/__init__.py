"""Matrix factorization: a recording as components, each a pattern over units and a course over samples."""

from neurointerp.analyses.factorization.nmf import nmf
from neurointerp.analyses.factorization.pca import pca
from neurointerp.analyses.factorization.semi_nmf import semi_nmf
from neurointerp.analyses.factorization.stability import stability

__all__ = ["nmf", "pca", "semi_nmf", "stability"]
