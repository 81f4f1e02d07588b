"""Graphs: blocks, measures and nulls of what connectivity found, or of a connectome."""

from neurointerp.analyses.graphs.block_model import block_model
from neurointerp.analyses.graphs.motifs import motifs

__all__ = ["block_model", "motifs"]
