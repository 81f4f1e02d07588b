"""Encoding models: how well, and by what weights, features predict each unit's responses."""

import lazy_loader

from neurointerp.analyses.encoding.attention_encoder import attention_encoder, layer_ensemble
from neurointerp.analyses.encoding.banded_ridge import banded_ridge
from neurointerp.analyses.encoding.evaluate import evaluate
from neurointerp.analyses.encoding.feature_importance import feature_importance
from neurointerp.analyses.encoding.kernel_ridge import kernel_ridge
from neurointerp.analyses.encoding.pls import pls
from neurointerp.analyses.encoding.poisson_glm import poisson_glm
from neurointerp.analyses.encoding.readout import readout
from neurointerp.analyses.encoding.region_table import region_table
from neurointerp.analyses.encoding.ridge import ridge
from neurointerp.analyses.encoding.variance_partition import variance_partition

# scikit-learn is imported with the estimators, not with the family
__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"estimators": ["BandedRidgeCV", "RidgeCV"]})

__all__ = [
    "BandedRidgeCV",
    "RidgeCV",
    "attention_encoder",
    "banded_ridge",
    "evaluate",
    "feature_importance",
    "kernel_ridge",
    "layer_ensemble",
    "pls",
    "poisson_glm",
    "readout",
    "region_table",
    "ridge",
    "variance_partition",
]
