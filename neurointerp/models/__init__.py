"""Artificial networks: named sites of any torch model, interventions on them, and what follows from both.

Importing this loads no torch; a function does when it is called.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["running", "sites", "taps"],
    submod_attrs={
        "sites": ["Site", "find_sites", "site_names", "sites_of"],
    },
)
