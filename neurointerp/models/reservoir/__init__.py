"""Predicting what comes and when, from a reservoir of spiking neurons, by a local rule that follows the error.

A construction from the abstracts of Yamada and Chao (2025): of the paper, its method section was not at hand. Size,
constants, the form of the rule and the offline consolidation are this module's own; no number here is the paper's.
"""

from neurointerp.models.reservoir.circuit import network, record
from neurointerp.models.reservoir.learning import Block, force, learn, oracle
from neurointerp.models.reservoir.reading import probability, readout, timing_error

__all__ = ["Block", "force", "learn", "network", "oracle", "probability", "readout", "record", "timing_error"]
