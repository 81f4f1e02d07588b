"""Pictures of recordings and results: matplotlib axes in, the same axes out, no pyplot."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["figure_strips"],
        "encoding": ["band_scores", "receptive_field", "score_map"],
        "graphs": ["brain_layout", "connectogram", "graph", "motif_strip", "ring_layout"],
        "recording": ["traces"],
        "results": ["connectivity_matrix", "features", "scores", "tensor_factors"],
    },
)
