"""Which afferent reaches which branch."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def neuronio_routing(
    excitatory: int = 639, inhibitory: int = 639, *, branches: int = 45, width: int = 100
) -> NDArray[np.int64]:
    """Give the published routing of the NeuronIO inputs: overlapping windows over neighbouring afferents.

    Excitatory and inhibitory afferents alternate by position; each branch takes `width` neighbours, a stride of
    `ceil(afferents / branches)` after the branch before.

    Parameters
    ----------
    excitatory, inhibitory
        Number of afferents of each sign; equal. The excitatory ones come first in the input.
    branches, width
        Number of branches and of synapses on each.

    Returns
    -------
    numpy.ndarray
        (branch, synapse): the afferent of each synapse, -1 where a window reaches past the last one.

    References
    ----------
    Spieler et al. (2023), arXiv:2306.16922, and its repository.

    Examples
    --------
    >>> neuronio_routing(3, 3, branches=2, width=4).tolist()
    [[0, 3, 1, 4], [4, 2, 5, -1]]
    """
    order = np.arange(excitatory + inhibitory).reshape(2, -1).T.ravel()
    order = np.concatenate([order, np.full(width, -1)])
    stride = math.ceil((excitatory + inhibitory) / branches)
    return np.stack([order[stride * branch : stride * branch + width] for branch in range(branches)])
