"""
System or recording?
====================

Three recordings of simulated cell cultures, whose truth is known. Two are of one kind of culture, with six groups of
cells that fire together: one recorded well, the other slowly, with noise, and with half of the cells. The third is of
another kind, with a single large group. Which differences are between cultures?
"""

# %%
import numpy as np
from matplotlib import pyplot as plt

from neurointerp import plot, synthetic
from neurointerp.analyses import comparison


def culture(seed, cells, **options):
    """Record some of 60 cells, drawn at random."""
    rec = synthetic.calcium_ensembles(seed=seed, **options)["recordings/calcium_ensembles/recording"]
    return rec.isel(unit=np.sort(np.random.default_rng(seed).choice(60, cells, replace=False)))


recordings = {
    "six groups": culture(0, 60, sampling_rate=20.0, n_samples=2400, noise=0.05),
    "six, recorded poorly": culture(1, 30, sampling_rate=10.0, n_samples=1200, noise=0.3),
    "one group": culture(
        2, 60, sampling_rate=20.0, n_samples=2400, noise=0.05, n_ensembles=1, ensemble_size=50, overlap=0.0
    ),
}

# %%
# Sizes are matched always, rates where it is asked. Every figure has an interval over cells and blocks of time. Noise
# is not matched: it raises the effective dimension of the poor recording above that of the good one.
tree = comparison.compare(recordings, units=24, samples=600, nulls=2, resamples=10, rate="slowest")
figure = plt.figure(figsize=(10, 6), layout="constrained")
plot.figure_strips(tree, figure)

# %%
# So each recording is made worse on purpose. With half of its signal, the good recording of six groups comes most of
# the way to the poor one in this figure. So noise explains that difference; that the single group moves up too shows
# that one figure alone cannot tell who is who.
degraded = comparison.sensitivity(recordings, units=24, samples=600, rate="slowest", levels=[0.5], replicates=1)
figure = plt.figure(figsize=(10, 3), layout="constrained")
plot.sensitivity_curves(degraded, figure, metric="effective_dimension")

# %%
# ``comparison.differences`` asks for one setting that explains all figures at once, and needs more than these few cells
# and draws: bounds that hold for all figures are wide. With 30 cells, 1,000 samples and 20 draws (under a minute, with
# ``compare(..., resamples=20, sensitivity=True)``) it finds the difference between both recordings of six groups within
# what recording explains, and the one between each of them and the single group beyond it: on these three, on which the
# sizes were chosen, and on two more sets of three. That is no measure of its power on other systems.
# ``plot.difference_matrix`` draws its verdicts.
