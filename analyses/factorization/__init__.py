"""Matrix factorization: a recording as components, each a pattern over units and a course over samples."""

import lazy_loader

from neurointerp.analyses.factorization.hierarchical_semi_nmf import hierarchical_semi_nmf
from neurointerp.analyses.factorization.ica import ica
from neurointerp.analyses.factorization.match import match
from neurointerp.analyses.factorization.nmf import nmf
from neurointerp.analyses.factorization.pca import pca
from neurointerp.analyses.factorization.rank import rank
from neurointerp.analyses.factorization.semi_nmf import semi_nmf
from neurointerp.analyses.factorization.stability import stability

# scikit-learn is imported with the estimators, not with the family
__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"estimators": ["NMF", "SemiNMF"]})

__all__ = ["NMF", "SemiNMF", "hierarchical_semi_nmf", "ica", "match", "nmf", "pca", "rank", "semi_nmf", "stability"]
