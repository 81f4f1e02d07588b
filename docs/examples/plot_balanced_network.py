"""
A balanced network beside a calcium recording
=============================================

A network of integrate-and-fire neurons is simulated, recorded, and put through the same call as calcium traces.
"""

# %%
# Describe the network
# --------------------
# Populations, synapses and inputs are plain descriptions. Excitation and inhibition are strong and nearly cancel, so
# the neurons fire when the balance happens to tip: irregularly, and almost independently of each other.

import matplotlib.pyplot as plt
import numpy as np

import neurointerp as ni
from neurointerp import plot, report
from neurointerp.analyses import comparison
from neurointerp.models import spiking

excitatory, inhibitory, jump = 400, 100, 0.5
cells = {"tau": 0.02, "rest": -70.0, "threshold": -50.0, "reset": -60.0, "refractory": 0.002}
network = spiking.Network(
    {"e": spiking.LIF(excitatory, **cells), "i": spiking.LIF(inhibitory, **cells)},
    [
        spiking.Synapses(
            source,
            target,
            spiking.connect(sources, targets, probability=0.1, weight=weight, seed=seed),
            delay=0.0015,
        )
        for seed, (source, sources, weight) in enumerate([("e", excitatory, jump), ("i", inhibitory, -6 * jump)])
        for target, targets in [("e", excitatory), ("i", inhibitory)]
    ],
    [spiking.PoissonInput(name, rate=2200.0, weight=jump) for name in "ei"],
)

# %%
# Simulate it
# -----------
# One function gives a session: counts as a recording, every spike time, the potentials that were asked for, and
# what the network was made of as the truth. Steps of a quarter of a millisecond are short beside 20 ms, in which a
# potential falls by itself, and delays are whole numbers of them.

keep = spiking.Record(bin_width=0.1, states={"e": [0]})
session = spiking.simulate(network, 20.0, step=2.5e-4, seed=0, record=keep)
spikes = session["recordings/spikes/recording"]
times = session["structure/spike_times/structure"]
print(dict(spikes.sizes), spikes.attrs["system"], f"{session['truth/weight'].size} synapses")

# %%
# The raster of half a second, excitatory neurons below and inhibitory above, and one potential. (A spike is reset as
# soon as the threshold is reached, so the trace shows none.)

fig, (top, bottom) = plt.subplots(2, 1, figsize=(9, 5.2), layout="constrained", sharex=True, height_ratios=[2, 1])
place = {unit: row for row, unit in enumerate(spikes["unit"].values)}
row = np.array([place[unit] for unit in times["spike_unit"].values])
shown = (times.values >= 10) & (times.values < 10.5)
inhibits = row >= excitatory
for which, colour, label in ((~inhibits, "#0072B2", "excitatory"), (inhibits, "#D55E00", "inhibitory")):
    top.plot(times.values[shown & which], row[shown & which], ".", markersize=2, color=colour, label=label)
top.set(ylabel="neuron", ylim=(0, excitatory + inhibitory), title="balanced network (simulated)")
top.legend(loc="upper right", markerscale=4, framealpha=0.9)
trace = session["recordings/potential/recording"].sel(time=slice(10, 10.5))
bottom.plot(trace["time"], trace.values[:, 0], color="black", linewidth=0.7)
bottom.axhline(cells["threshold"], color="#888888", linestyle="--", linewidth=0.8)
bottom.set(xlabel="time (s)", ylabel="potential of e000 (mV)", xlim=(10, 10.5), ylim=(-82, -46))

# %%
# How irregular are the intervals? A clock would give 0, a Poisson process 1.

intervals = [np.diff(times.values[row == unit]) for unit in range(spikes.sizes["unit"])]
cv = [one.std() / one.mean() for one in intervals if one.size >= 10]
print(f"mean rate {float(spikes.mean()) / 0.1:.1f} Hz, coefficient of variation {np.mean(cv):.2f}")

# %%
# The same call for both
# ----------------------
# Counts in bins of 100 ms and the calcium traces (at 10 Hz, simulated too, with planted ensembles) go into one
# ``compare``: it cuts both to the same size and gives each figure beside its null.

recordings = {"balanced network": spikes[:, ::5], "calcium": ni.load("demo-calcium")}
tree = comparison.compare(recordings, units=40, nulls=3, resamples=0, seed=0)  # few nulls, no intervals: to be quick
plot.figure_strips(tree, plt.figure(figsize=(10, 5.5), layout="constrained"))

# %%
# The calcium traces have ensembles, and few components explain much of them. The balanced network has none, although
# its neurons are wired to each other: what it has beyond its null is small, the fluctuations that all neurons share.

table = report.table(tree)
print(table.pivot(index="metric", columns="recording", values=["data", "z_score"]).round(2).to_string())

# %%
# Both as they were compared:

fig, axes = plt.subplots(2, 2, figsize=(11, 6), layout="constrained", width_ratios=[2, 1])
for (name, rec), pair in zip(recordings.items(), axes, strict=True):
    plot.traces(tree[f"matched/{name}/matched"], pair[0]).set_title(f"{name} ({rec.attrs['system']}), z-scored")
    graph = tree[f"connectivity/{name}/correlation"].to_dataset(inherit=False)
    plot.connectivity_matrix(graph, pair[1], community=tree[f"connectivity/{name}/communities/community"])
