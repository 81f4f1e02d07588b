"""
Where did the network see it?
=============================

A compact network tells alert from drowsy EEG in people it never saw, and shows for each sample which channel and moment
decided. The EEG is simulated, so that the cause is known: short alpha spindles over the back of the head.
"""

# %%
# Simulate, and hold out one person at a time
# -------------------------------------------
# Four people with gains and noise of their own; blinks and muscle bursts come in both classes. The number of epochs is
# fixed beforehand.

import matplotlib.pyplot as plt
import numpy as np

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import decoding

session = ni.synthetic.drowsiness(n_subjects=4, n_trials=60)
rec = session["recordings/drowsiness/recording"]
bands = {"delta": (1, 4), "theta": (4, 8), "alpha": (8, 12), "beta": (12, 30)}
found = decoding.separable(rec, "condition", batch_size=20, learning_rate=3e-3, bands=bands)
for statistics in found["statistics"].values:
    scores = found["accuracy"].sel(statistics=statistics).values
    print(statistics, dict(zip(found["held_out"].values, scores.round(2).tolist(), strict=True)))

# %%
# ``test_batch`` normalises by the statistics of the person who is tested, which needs all samples of that person at
# once; ``running`` does without.
#
# The evidence in one sample
# --------------------------
# Orange is evidence for the class that was predicted, computed from the filters without gradients. The blue line above
# the traces is where spindles were planted. On the right the share of each band in the power of the whole sample: a
# brief spindle hardly shows in it.

spindle = session["truth/spindle"].values
drowsy = (rec["condition"].values == "drowsy") & (found["prediction"].values[0] == "drowsy")
trial = int(np.flatnonzero(drowsy & (spindle.sum(axis=1) > 40))[3])
fig, (ax, beside) = plt.subplots(1, 2, sharey=True, figsize=(10, 5.5), width_ratios=(4, 1), layout="constrained")
plot.evidence_map(found, ax, trial=trial, recording=rec)
plot.evidence_bands(found, beside, trial=trial)
planted = rec["time"].values[spindle[trial] > 0]
ax.plot(planted, np.full(planted.size, -1.2), "s", color="#0072B2", markersize=2, clip_on=False)

# %%
# Over all samples
# ----------------
# The share of fixations at each channel, in samples rightly called drowsy, beside how strongly the planted source is
# seen there. With so few people and samples some falls on blinks (Fp1, Fp2).

share = found["fixations"].values[drowsy].sum(axis=(0, 1))
seen = np.abs(session["truth/leadfield"].values)
fig, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
place = np.arange(rec.sizes["unit"])
ax.bar(place, share / share.sum(), color="#D55E00", width=0.8, label="fixations")
ax.plot(place, seen / seen.sum(), "o", color="#0072B2", markersize=4, label="planted source")
ax.set_xticks(place, rec["unit"].values, rotation=90, fontsize=7)
ax.set(ylabel="share")
ax.legend(frameon=False)
