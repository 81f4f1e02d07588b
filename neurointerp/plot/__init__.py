"""Pictures of recordings and results: matplotlib axes in, the same axes out, no pyplot."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["difference_matrix", "figure_strips", "rank_curves", "sensitivity_curves"],
        "geometry": ["dissimilarities", "embedding", "similarity_matrix"],
        "decoding": ["evidence_bands", "evidence_map", "score_course", "time_generalisation_matrix"],
        "components": ["component_card"],
        "encoding": ["band_scores", "layer_map", "receptive_field", "score_map"],
        "graphs": ["brain_layout", "connectogram", "graph", "motif_strip", "ring_layout"],
        "readouts": ["attention_overlay", "field_outlines"],
        "recording": ["courses", "mean_course", "traces"],
        "results": ["connectivity_matrix", "features", "scores", "tensor_factors"],
        "tensors": ["tensor_components"],
        "trees": ["feature_tree"],
        "unit_maps": ["brain_map", "positions", "sensor_map", "slices", "unit_bars"],
    },
)
