"""
Graphs of an EEG, of worms and of a language model
==================================================

A connectivity matrix is a graph, whatever it was computed from. Three of them are divided into communities, drawn, and
set beside what is known: the lags of the alpha rhythm on the scalp, the activity of two worms beside two connectomes,
and one layer of a language model. With a mirror of the real files (``NEUROINTERP_MIRROR``) the EEG and the worms are
real; without one they are simulated, and every picture says so.
"""

# %%
# The alpha rhythm: which electrodes lag behind which
# ---------------------------------------------------
# The weighted phase-lag index sees no instant mixing, such as that of one source in all electrodes. It is large by
# chance of few epochs, so its null stands beside it: the same of surrogates in which no electrode knows of another. In
# the simulated EEG all mixing is instant: nothing is above the null there, and nothing should be.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import connectivity, graphs
from neurointerp.loaders.datasets import connectome

mirror = os.environ.get("NEUROINTERP_MIRROR")
if mirror:
    rec = ni.load("physionet-eegmmidb", "S001R02").load()
    montage = mne.channels.make_standard_montage("biosemi64").get_positions()["ch_pos"]
    named = {name.upper(): place for name, place in montage.items()}
    units = [unit for unit in rec.unit.values if unit.strip(".").upper() in named]
    places = np.array([named[unit.strip(".").upper()] for unit in units])
    rec = rec.sel(unit=units)
    rec = rec.assign_coords({axis: ("unit", places[:, k]) for k, axis in enumerate("xyz")})
    rec = rec.assign_coords(unit=np.array([unit.strip(".") for unit in units], dtype=object))
    told = "eyes closed, Schalk et al. 2004"
else:
    rec, told = ni.load("demo-eeg"), "simulated"

options = {"fmin": 8.0, "fmax": 13.0, "window": 2 * int(rec.attrs["sampling_rate"]), "bandwidth": 2.0}
found = connectivity.wpli(rec, **options)
alpha = found.connectivity.mean("frequency")
tested = connectivity.null(rec, "wpli", surrogate="phase_randomize", draws=19, options=options)
share = float((tested.p_value.min("frequency") <= 0.05).sum() / tested.p_value.notnull().any("frequency").sum())
print(f"{told}: {rec.sizes['unit']} electrodes, {found.connectivity.attrs['epochs']} epochs")
print(f"pairs above the largest of the null: {share:.0%}")
print(f"mean wPLI {float(alpha.mean()):.2f}, of the null {float(tested.null_mean.mean()):.2f}")

# %%
# The strongest lags on the head, seen from above, and as a connectogram; colours are communities (Louvain, the
# consensus of ten runs). With closed eyes frontal electrodes lag behind each other most.

groups = connectivity.communities(alpha, runs=10)
fig, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
plot.graph(alpha, axes[0], layout=plot.brain_layout(alpha), community=groups.community, edges=150, size=90)
plot.connectogram(alpha, axes[1], community=groups.community, edges=150)
fig.suptitle(f"alpha-band wPLI ({told})")

# %%
# Two worms beside two connectomes
# --------------------------------
# Of neurons that both worms have: correlation, averaged over worms on Fisher's z, and the affinity of moments (which
# pairs change together, when). Wiring that is there in the activity shows as an area under the ROC curve above that of
# permuted names.

if mirror:
    each = {}
    for worm in ("2022-07-26-31", "2022-07-26-38"):
        one = ni.load("dag2023-common", worm)
        each[worm] = one.sel(unit=one.unit.values[:300]).dropna("unit", how="any")
    shared = [
        unit for unit in next(iter(each.values())).unit.values if all(unit in one.unit.values for one in each.values())
    ]
    worms = ni.align.stack_subjects({worm: one.sel(unit=shared) for worm, one in each.items()})
    files = {"White 1986": "aconnectome_white_1986_whole.csv", "Witvliet 2021": "witvliet_2020_8.xlsx"}
    wirings = {name: connectome.load(next(Path(mirror).rglob(file))) for name, file in files.items()}
    told = "Dag et al. 2023"
else:
    worms = ni.load("demo-spikes")
    wirings = {"planted synapses": abs(ni.load_session("demo-spikes")["structure/synapses/structure"].load())}
    told = "simulated spikes, no worms"

r = connectivity.correlation(worms)
moments = connectivity.dynamic_connectome(worms, 4, smooth=3.0, bin_size=6, restarts=2, starts=2)
affinity = (moments.connectivity * moments.weight).sum("component")
for name, wiring in wirings.items():
    for kind, graph in (("correlation", r.connectivity), ("affinity", affinity)):
        compared = graphs.structure_function(graph, wiring, nulls=200).sel(measure="auroc")
        area, chance, p = (float(compared[key]) for key in ("value", "null_mean", "p_value"))
        print(f"{name}, {kind}: AUROC {area:.2f}, permuted names {chance:.2f}, p {p:.3f}")

# %%
# The matrices, in the order of the communities of the correlation. Neurons that correlate are in part neurons that are
# wired to each other.

label = connectivity.communities(r, runs=10).community
fig, axes = plt.subplots(1, 1 + len(wirings), figsize=(4.2 * (1 + len(wirings)), 3.9), layout="constrained")
plot.connectivity_matrix(r, axes[0], community=label)
axes[0].set_title("correlation")
for ax, (name, wiring) in zip(axes[1:], wirings.items(), strict=True):
    there = [unit for unit in r.source.values if unit in set(wiring.source.values)]
    joined = wiring.sum("kind") if "kind" in wiring.dims else wiring
    joined = joined.sel(source=there, target=there)
    joined = joined.copy(data=np.log1p(joined.values + joined.values.T))
    plot.connectivity_matrix(joined.to_dataset(name="connectivity"), ax, community=label.sel(unit=there))
    ax.set_title(f"{name}, log(1 + synapses)")
fig.suptitle(told)

# %%
# When which of them go together: the two motifs whose blocks save the most nats, each with its interval, its worms and
# its graph. What one worm shows alone may be chance.

best = moments.component.values[np.argsort(-moments.saving.values)][:2]
fig = plt.figure(figsize=(9, 5), layout="constrained")
for sub, k in zip(fig.subfigures(len(best), 1), best, strict=True):
    plot.motif_strip(moments, sub, int(k))

# %%
# A layer of a language model
# ---------------------------
# Units of one layer while a model reads text: the same calls, the same pictures. The block model finds as many blocks
# as pay for themselves in a shorter description.

layer = ni.load("demo-activations")
units = layer.isel(unit=slice(0, layer.sizes["unit"], 6))
together = connectivity.correlation(units)
blocks = graphs.block_model(together, starts=2)
print(layer.attrs["system"], dict(units.sizes), "blocks by level:", [len(set(one)) for one in blocks.community.values])
summary = graphs.measures(together, threshold=0.2)
print(f"density {float(summary.density):.2f}, mean clustering {float(summary.mean_clustering):.2f}")

fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
finest = blocks.community.isel(level=0)
plot.connectivity_matrix(together, axes[0], community=finest)
plot.graph(
    together,
    axes[1],
    layout=plot.ring_layout(finest.size, community=finest.values),
    community=finest,
    edges=250,
    size=40,
)
fig.suptitle("correlation of the units of one layer, by block")
