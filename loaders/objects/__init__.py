"""Objects of other packages as recordings and back, one module for each package: pynapple, rsatoolbox, BrainIO.

`activation_cache` takes what TransformerLens and nnsight give. Objects of MNE, nibabel, neo, pynwb and others are taken
by the loaders of their modality.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["activation_cache", "brainio", "pynapple", "rsatoolbox"]
)
