"""EEG, MEG and intracranial EEG as recordings: whatever MNE reads, or an object of MNE, and back again."""

from neurointerp.loaders.eeg._export import to_mne
from neurointerp.loaders.eeg._load import load, load_session

__all__ = ["load", "load_session", "to_mne"]
