"""Graphs: blocks, motifs, measures and nulls of what connectivity found, or of a connectome."""

from neurointerp.analyses.graphs.block_model import block_model
from neurointerp.analyses.graphs.measures import measures
from neurointerp.analyses.graphs.motifs import motifs
from neurointerp.analyses.graphs.network_statistic import network_statistic
from neurointerp.analyses.graphs.small_world import rewired, rich_club, small_world
from neurointerp.analyses.graphs.structure_function import structure_function

__all__ = [
    "block_model",
    "measures",
    "motifs",
    "network_statistic",
    "rewired",
    "rich_club",
    "small_world",
    "structure_function",
]
