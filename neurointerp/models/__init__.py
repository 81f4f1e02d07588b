"""Artificial systems that can be trained small and recorded. They need torch: `pip install 'neurointerp[models]'`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["elm", "gpt", "hatchling"])
