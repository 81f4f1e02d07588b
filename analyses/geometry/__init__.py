"""Geometry of representations: do systems hold the same stimuli apart in the same way."""

from neurointerp.analyses.geometry.cca import cca
from neurointerp.analyses.geometry.cka import cka
from neurointerp.analyses.geometry.drift import drift
from neurointerp.analyses.geometry.feature_variance import audit, feature_variance
from neurointerp.analyses.geometry.gcca import gcca
from neurointerp.analyses.geometry.hyperalignment import aligned, hyperalignment
from neurointerp.analyses.geometry.procrustes import procrustes
from neurointerp.analyses.geometry.rdm import rdm
from neurointerp.analyses.geometry.rsa import rsa, rsa_ceiling

__all__ = [
    "aligned", "audit", "cca", "cka", "drift", "feature_variance", "gcca", "hyperalignment", "procrustes", "rdm",
    "rsa", "rsa_ceiling",
]  # fmt: skip
