"""Raw files and models to recordings: one module per modality, each with `load` and `load_session`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["activations", "calcium", "datasets", "eeg", "files", "fmri", "objects", "raw", "spikes"]
)
