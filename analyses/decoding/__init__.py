"""Decoding: what can be read out of a recording, on samples that the reader has not seen."""

from neurointerp.analyses.decoding.identification import identification
from neurointerp.analyses.decoding.linear import linear
from neurointerp.analyses.decoding.retrieval import retrieval
from neurointerp.analyses.decoding.ridge import ridge
from neurointerp.analyses.decoding.searchlight import searchlight
from neurointerp.analyses.decoding.separable import separable
from neurointerp.analyses.decoding.time_generalisation import time_generalisation

__all__ = ["identification", "linear", "retrieval", "ridge", "searchlight", "separable", "time_generalisation"]
