"""Recordings with known ground truth, one simulator per modality.

Every function takes keyword arguments only, ends with ``seed``, and returns a session (an ``xr.DataTree``):
the simulated recording under ``/recordings``, what generated it under ``/truth`` and, where the simulated
system is wired, its graph under ``/structure``. Equal arguments give equal values.
"""

from neurointerp.synthetic.activations import activation_features
from neurointerp.synthetic.calcium import calcium_ensembles
from neurointerp.synthetic.eeg import eeg_sources
from neurointerp.synthetic.encoding import linear_responses
from neurointerp.synthetic.fmri import bold_networks
from neurointerp.synthetic.lfr import weighted_lfr
from neurointerp.synthetic.motifs import dynamic_motifs
from neurointerp.synthetic.spiking import spiking_network
from neurointerp.synthetic.spindles import drowsiness
from neurointerp.synthetic.tensor import tensor_trials

__all__ = [
    "activation_features",
    "bold_networks",
    "calcium_ensembles",
    "drowsiness",
    "dynamic_motifs",
    "eeg_sources",
    "linear_responses",
    "spiking_network",
    "tensor_trials",
    "weighted_lfr",
]
