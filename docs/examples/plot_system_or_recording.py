"""
System or recording?
====================

Three recordings of simulated cell cultures, whose truth is known. Two are of one kind of culture, with six groups of
cells that fire together: one recorded well, the other slowly, with noise, and with half of the cells. The third is of
another kind, with a single large group. Which differences are between cultures?
"""

# %%
import numpy as np
import xarray as xr
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
tree = comparison.compare(recordings, units=24, samples=800, nulls=2, resamples=10, rate="slowest")
figure = plt.figure(figsize=(10, 6), layout="constrained")
plot.figure_strips(tree, figure)

# %%
# So each recording is made worse on purpose. With less signal, the good recording of six groups comes to look like the
# poor one, and the single group does not.
degraded = comparison.sensitivity(recordings, units=24, samples=800, rate="slowest", levels=[0.5], replicates=1)
figure = plt.figure(figsize=(10, 3), layout="constrained")
plot.sensitivity_curves(degraded, figure, metric="effective_dimension")

# %%
# The verdicts ask for one setting that explains all figures at once.
verdicts = comparison.differences(tree.assign(sensitivity=xr.DataTree(degraded)))
figure, ax = plt.subplots(figsize=(4.5, 4), layout="constrained")
plot.difference_matrix(verdicts, ax)
