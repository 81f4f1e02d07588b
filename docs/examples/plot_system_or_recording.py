"""
System or recording?
====================

Three recordings of simulated cell cultures, whose truth is known. Two are of one kind of culture, with six groups of
cells that fire together: one recorded well, the other slowly, with noise, and with half of the cells. The third is of
another kind, with a single large group. Which differences are between cultures?
"""

# %%
# What is true of a culture is the dimension of what drives its cells: their rates, as calcium follows them, without the
# chance of single spikes and without the noise of the camera.
import numpy as np
from matplotlib import pyplot as plt
from scipy.signal import lfilter

from neurointerp import plot, synthetic
from neurointerp.analyses import comparison


def culture(seed, cells, *, sampling_rate, **options):
    """Record some of 60 cells, drawn at random, and give the true effective dimension of these as well."""
    tree = synthetic.calcium_ensembles(seed=seed, sampling_rate=sampling_rate, **options)
    kept = np.sort(np.random.default_rng(seed).choice(60, cells, replace=False))
    rates = tree["truth/coefficients"].values @ tree["truth/ensembles"].values[:, kept]
    driven = lfilter([1.0], [1.0, -np.exp(-1 / (0.7 * sampling_rate))], rates, axis=0)
    spectrum = np.linalg.eigvalsh(np.corrcoef(driven[:, driven.std(axis=0) > 0].T))
    rec = tree["recordings/calcium_ensembles/recording"].isel(unit=kept)
    return rec, {"effective_dimension": spectrum.sum() ** 2 / (spectrum**2).sum()}


made = {
    "six groups": culture(0, 60, sampling_rate=20.0, n_samples=2400, noise=0.05),
    "six, recorded poorly": culture(1, 30, sampling_rate=10.0, n_samples=1200, noise=0.3),
    "one group": culture(
        2, 60, sampling_rate=20.0, n_samples=2400, noise=0.05, n_ensembles=1, ensemble_size=50, overlap=0.0
    ),
}
recordings = {name: rec for name, (rec, _) in made.items()}
truth = {name: known for name, (_, known) in made.items()}
print({name: round(known["effective_dimension"], 1) for name, known in truth.items()})

# %%
# Sizes are matched always, rates where it is asked. Every figure has an interval over cells and blocks of time. Noise
# is not matched: it raises the effective dimension of the poor recording above that of the good one.
sizes = {"units": 20, "samples": 400, "rate": "slowest"}
tree = comparison.compare(recordings, nulls=2, resamples=10, **sizes)
figure = plt.figure(figsize=(10, 6), layout="constrained")
plot.figure_strips(tree, figure)

# %%
# So each recording is made worse on purpose. With half of its signal, the good recording of six groups comes most of
# the way to the poor one in this figure. So noise explains that difference; that the single group moves up too shows
# that one figure alone cannot tell who is who. The dashed lines are the truth: every loss of signal leads away from it.
degraded = comparison.sensitivity(recordings, levels=[0.5], replicates=1, truth=truth, **sizes)
figure = plt.figure(figsize=(10, 3), layout="constrained")
plot.sensitivity_curves(degraded, figure, metric="effective_dimension")

# %%
# ``comparison.differences`` asks for one setting that explains all figures at once, and needs more than these few cells
# and draws: bounds that hold for all figures are wide. With 30 cells, 1,000 samples and 20 draws (under a minute, with
# ``compare(..., resamples=20, sensitivity=True)``) it finds the difference between both recordings of six groups within
# what recording explains, and the one between each of them and the single group beyond it: on these three, on which the
# sizes were chosen, and on two more sets of three. That is no measure of its power on other systems.
# ``plot.difference_matrix`` draws its verdicts.
