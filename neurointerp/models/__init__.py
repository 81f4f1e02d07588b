"""Models: artificial systems that can be run, trained small and recorded. Names load when they are first used."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["reservoir", "spiking"])
