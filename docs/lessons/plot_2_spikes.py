"""
Spikes: from a file of times to a raster and its PSTH
=====================================================

When does an auditory receptor of a grasshopper answer to a swell of the sound, and how surely? The spikes and the sound
are real (Rokem et al. 2006, J Neurophysiol 95:2541); the library nitime carries them, so nothing is fetched.
"""

# %%
# Load the spikes
# ---------------
# The file holds one time per line. It does not say in which unit: that must be given. The session keeps the times
# themselves beside the counts in bins of 1 ms.

from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import find_peaks

import neurointerp as ni
from neurointerp.loaders import spikes

folder = files("nitime") / "data"
tree = spikes.load_session(folder / "grasshopper_spike_times1.txt", bin_width=0.001, stop=10.0, time_units="us")
counts = tree["recordings/spikes/recording"]
times = tree["structure/spike_times/structure"].values
print(f"{times.size} spikes in {counts.sizes['time']} bins; in the bins: {int(counts.sum())}")

# %%
# The sound, and when it swells
# -----------------------------
# The second file is the amplitude of the sound, every 50 µs. An event is a peak of it: among the loudest quarter,
# and 20 ms or more from any louder one.

stamps, amplitude = np.loadtxt(folder / "grasshopper_stimulus1.txt").T
sound = ni.recording(amplitude[:, None], modality="stimulus", units="1", time=stamps * 1e-6, unit=["sound"])
peaks, _ = find_peaks(amplitude, height=np.quantile(amplitude, 0.75), distance=400)
onset = sound.time.values[peaks]
onset = onset[(onset > 0.05) & (onset < 9.95)]
events = {"onset": onset, "duration": np.zeros(onset.size), "trial_type": ["swell"] * onset.size}
print(f"{onset.size} swells")

# %%
# Cut trials
# ----------
# ``align.epoch`` cuts both recordings around the events, each on its own clock. The mean over trials of the counts,
# divided by the width of a bin, is the PSTH. What chance gives comes from the same train, shifted around in a circle:
# its intervals are kept, its relation to the sound is not.

trials = ni.align.epoch(counts, events, -0.02, 0.03)
heard = ni.align.epoch(sound, events, -0.02, 0.03)
rate = trials.mean("trial").values[:, 0] / 0.001

chance = []
for seed in range(200):
    shifted = ni.surrogate.circular_shift(counts, seed=seed)
    chance.append(ni.align.epoch(shifted, events, -0.02, 0.03).mean("trial").values[:, 0] / 0.001)
low, high = np.quantile(chance, [0.025, 0.975], axis=0)

# %%
# Draw
# ----
# The raster shows the exact times, sorted by how loud the swell was; the loudest is at the top.

order = np.argsort(heard.sel(time=0.0, method="nearest").values[:, 0])
middle = trials.time.values + 0.0005
fig, axes = plt.subplots(
    3, 1, figsize=(7, 6.5), sharex=True, layout="constrained", gridspec_kw={"height_ratios": [1, 2.4, 1.4]}
)
axes[0].plot(heard.time * 1e3, heard.mean("trial").values[:, 0], color="0.3")
axes[0].set(ylabel="sound (a.u.)", title=f"one receptor, {onset.size} swells of the sound")
for row, event in enumerate(onset[order]):
    near = times[(times > event - 0.02) & (times < event + 0.03)] - event
    axes[1].plot(near * 1e3, np.full(near.size, row), "|", color="C0", markersize=3, markeredgewidth=0.9)
axes[1].set(ylabel="swell, by loudness", ylim=(-1, onset.size))
axes[2].fill_between(middle * 1e3, low, high, color="0.85", label="95 % of shifted trains")
axes[2].step(middle * 1e3, rate, where="mid", color="C0", label="PSTH")
axes[2].set(xlabel="time from the peak of the sound (ms)", ylabel="rate (Hz)", xlim=(-20, 30), ylim=(0, None))
axes[2].legend(frameon=False, loc="upper right")
for ax in axes:
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.spines[["top", "right"]].set_visible(False)

best = int(rate.argmax())
print(
    f"the rate peaks {middle[best] * 1e3:.1f} ms after the sound, at {rate[best]:.0f} Hz; chance: {high[best]:.0f} Hz"
)
plt.show()
