"""A compact separable network for trials of any recording, and where in a trial it finds its evidence."""

from neurointerp.models.separable.evidence import Evidence, evidence
from neurointerp.models.separable.network import STATISTICS, Config, Separable, train

__all__ = ["STATISTICS", "Config", "Evidence", "Separable", "evidence", "train"]
