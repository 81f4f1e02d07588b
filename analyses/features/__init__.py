"""Reading components: what evokes them, which units make them, what they detect, what they make a model say."""

from neurointerp.analyses.features.arms import arms
from neurointerp.analyses.features.concept_detection import concept_detection
from neurointerp.analyses.features.output_tokens import output_tokens
from neurointerp.analyses.features.sparse_autoencoder import sparse_autoencoder
from neurointerp.analyses.features.steering import steering
from neurointerp.analyses.features.top_samples import top_samples
from neurointerp.analyses.features.unit_groups import unit_groups
from neurointerp.analyses.features.unit_parts import unit_parts

__all__ = [
    "arms", "concept_detection", "output_tokens", "sparse_autoencoder", "steering", "top_samples",
    "unit_groups", "unit_parts",
]  # fmt: skip
