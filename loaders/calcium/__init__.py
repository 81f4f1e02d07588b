"""Calcium imaging as recordings: suite2p, CaImAn, NWB, plain matrices; dF/F, neuropil, deconvolution as steps."""

from neurointerp.loaders.calcium.export import to_nwb
from neurointerp.loaders.calcium.sources import load, load_session
from neurointerp.loaders.calcium.transforms import deconvolve, dff, subtract_neuropil

__all__ = ["deconvolve", "dff", "load", "load_session", "subtract_neuropil", "to_nwb"]
