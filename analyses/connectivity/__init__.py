"""Connectivity: how units go together, pair by pair, and the communities they form."""

from neurointerp.analyses.connectivity.affinity import affinity
from neurointerp.analyses.connectivity.coherence import coherence, imaginary_coherence, psi
from neurointerp.analyses.connectivity.communities import communities
from neurointerp.analyses.connectivity.correlation import correlation
from neurointerp.analyses.connectivity.covariance import covariance
from neurointerp.analyses.connectivity.dynamic import dynamic
from neurointerp.analyses.connectivity.dynamic_connectome import dynamic_connectome
from neurointerp.analyses.connectivity.effective import effective
from neurointerp.analyses.connectivity.granger import granger
from neurointerp.analyses.connectivity.lagged import lagged
from neurointerp.analyses.connectivity.mutual_information import mutual_information
from neurointerp.analyses.connectivity.null import null
from neurointerp.analyses.connectivity.partial_correlation import partial_correlation
from neurointerp.analyses.connectivity.phase import ciplv, pli, plv, wpli, wpli2_debiased
from neurointerp.analyses.connectivity.spectral import spectral
from neurointerp.analyses.connectivity.spectral_granger import spectral_granger
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
