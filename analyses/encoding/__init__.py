"""Encoding models: how well, and by what weights, features predict each unit's responses."""

import lazy_loader

from neurointerp.analyses.encoding.banded_ridge import banded_ridge
from neurointerp.analyses.encoding.evaluate import evaluate
from neurointerp.analyses.encoding.ridge import ridge

# scikit-learn is imported with the estimators, not with the family
__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"estimators": ["RidgeCV"]})

__all__ = ["RidgeCV", "banded_ridge", "evaluate", "ridge"]
