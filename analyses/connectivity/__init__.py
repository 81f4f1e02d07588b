"""Connectivity: how units go together, pair by pair, and the communities they form."""

from neurointerp.analyses.connectivity.affinity import affinity, dynamic_connectome
from neurointerp.analyses.connectivity.coherence import (
    ciplv,
    coherence,
    imaginary_coherence,
    pli,
    plv,
    psi,
    wpli,
    wpli2_debiased,
)
from neurointerp.analyses.connectivity.communities import communities
from neurointerp.analyses.connectivity.correlation import correlation, covariance, mutual_information
from neurointerp.analyses.connectivity.dynamic import dynamic
from neurointerp.analyses.connectivity.granger import granger, spectral_granger
from neurointerp.analyses.connectivity.lagged import effective, lagged
from neurointerp.analyses.connectivity.null import null
from neurointerp.analyses.connectivity.partial_correlation import partial_correlation
from neurointerp.analyses.connectivity.spectral import spectral
from neurointerp.analyses.connectivity.states import states
from neurointerp.analyses.connectivity.transfer_entropy import transfer_entropy

__all__ = [
    "affinity",
    "ciplv",
    "coherence",
    "communities",
    "correlation",
    "covariance",
    "dynamic",
    "dynamic_connectome",
    "effective",
    "granger",
    "imaginary_coherence",
    "lagged",
    "mutual_information",
    "null",
    "partial_correlation",
    "pli",
    "plv",
    "psi",
    "spectral",
    "spectral_granger",
    "states",
    "transfer_entropy",
    "wpli",
    "wpli2_debiased",
]
