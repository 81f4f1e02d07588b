"""Spike trains as recordings of counts: sorted units, spike times of any kind, and spiking simulations.

`load` counts spikes in bins, `load_session` keeps the times themselves as well; `smooth` turns counts into
rates, `to_nwb` writes either to NWB. What each format gives is in `docs/loaders_spikes.md`.
"""

from neurointerp.loaders.spikes._smoothing import smooth
from neurointerp.loaders.spikes._trains import by_cluster
from neurointerp.loaders.spikes._writing import to_nwb
from neurointerp.loaders.spikes.sources import load, load_session

__all__ = ["by_cluster", "load", "load_session", "smooth", "to_nwb"]
