"""Recordings to results: one folder per family, one file per method."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "comparison",
        "connectivity",
        "decoding",
        "encoding",
        "factorization",
        "features",
        "geometry",
        "graphs",
        "tensor",
    ],
)
