"""Connectivity: how units go together, pair by pair, and the communities they form."""

from neurointerp.analyses.connectivity.communities import communities
from neurointerp.analyses.connectivity.correlation import correlation

__all__ = ["communities", "correlation"]
