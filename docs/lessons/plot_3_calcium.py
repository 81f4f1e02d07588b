"""
Calcium: from one worm's file to named traces beside its connectome
===================================================================

Whole-brain calcium of one worm is read from its laboratory's file, put on the common order of the 300 neurons and the
common clock, and its correlations are set beside the wiring of the nervous system. With a mirror of the real files
(``NEUROINTERP_MIRROR``) the worm is one of Dag et al. 2023 and the wiring that of White et al. 1986; without one both
are simulated here, in the same formats, and every picture says so.
"""

# %%
# The raw files
# -------------
# Without a mirror: forty neurons that drive each other along planted connections, written as a WormWideWeb JSON. Some
# labels are missing, one is doubtful (``SIA?L``), the clock is not regular. The wiring is an edge table.

import json
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.loaders.datasets import atanas2023, connectome, worm_collection, worm_neurons, worm_traces

mirror = Path(os.environ.get("NEUROINTERP_MIRROR") or "no mirror")
wiring_file = next(mirror.rglob("aconnectome_white_1986_whole.csv"), None)
folder = Path(tempfile.mkdtemp())


def simulate(names, frames=800):
    """Draw a wiring of a few strong connections, run noise through it, and write both as raw files."""
    rng = np.random.default_rng(0)
    wiring = rng.poisson(4, (len(names), len(names))) * (rng.random((len(names), len(names))) < 0.06)
    wiring = wiring + wiring.T  # as gap junctions: both ways
    drive = wiring / np.maximum(np.abs(np.linalg.eigvalsh(wiring)).max(), 1) * 0.9
    state = np.zeros((frames * 4, len(names)))
    for step in range(1, len(state)):
        state[step] = 0.97 * state[step - 1] + 0.03 * drive @ state[step - 1] + rng.normal(size=len(names))
    clock = np.cumsum(0.6 * (1 + 0.05 * rng.standard_normal(frames)))
    labels = {str(i + 1): {"label": name} for i, name in enumerate(names) if i % 8}
    labels["1"] = {"label": "SIA?L"}
    worm = {"trace_array": state[::4].T.tolist(), "timestamp_confocal": clock.tolist(), "labeled": labels}
    (folder / "worm.json").write_text(json.dumps(worm))
    rows = [f"{names[i]},{names[j]},electrical,{wiring[i, j]}" for i, j in zip(*wiring.nonzero(), strict=True)]
    (folder / "edges.csv").write_text("\n".join(["pre,post,type,synapses", *rows]))


if wiring_file is not None:
    raw = ni.load("dag2023", item="2022-07-26-38").load()
    told = "Dag et al. 2023, White et al. 1986"
else:
    simulate(list(worm_neurons.order()[5:205:5]))
    raw = atanas2023.load(folder / "worm.json")
    wiring_file = folder / "edges.csv"
    told = "simulated"
print(told)
print(dict(raw.sizes), "clock regular:", "sampling_rate" in raw.attrs)
print("units as annotated:", ", ".join(raw.unit.values[:8]), "...")

# %%
# Names and clock
# ---------------
# ``homogenise`` scales each trace, resamples it to 1/3 s and gives it the slot of its name. A label that leaves several
# neurons open names none: it keeps its candidates, behind the 300 names. Neurons that the worm lacks are NaN, not zero.

worm = worm_traces.homogenise(raw)
print(dict(worm.sizes), f"dt {worm.attrs['dt']:.4f} s, before {worm.attrs['original_dt']:.3f} s")
print(f"{worm.attrs['labeled']} named, {worm.attrs['unlabeled']} unlabelled")
loose = worm.isel(unit=np.flatnonzero(~worm.is_labeled.values))
open_labels = loose.isel(unit=np.flatnonzero(loose.candidates.values != ""))
for unit in open_labels.unit.values[:3]:
    one = open_labels.sel(unit=unit)
    print(unit, "annotated as", one.label.item(), "could be", one.candidates.item())
print(worm_collection.summary({"this worm": worm}))

# %%
# The named traces
# ----------------

there = worm.isel(unit=np.flatnonzero(worm.is_labeled.values & worm.notnull().all("time").values))
kinds = ("sensory", "interneuron", "motor", "pharyngeal", "unknown")
there = there.isel(unit=np.argsort([kinds.index(kind) for kind in there.cell_type.values], kind="stable"))
borders = np.flatnonzero(np.diff([kinds.index(kind) for kind in there.cell_type.values])) + 0.5

fig, ax = plt.subplots(figsize=(9, 5), layout="constrained")
image = ax.imshow(
    there.values.T, aspect="auto", cmap="RdBu_r", vmin=-3, vmax=3, interpolation="nearest",
    extent=(0, float(there.time[-1]), there.sizes["unit"] - 0.5, -0.5),
)  # fmt: skip
step = max(there.sizes["unit"] // 30, 1)
ax.set_yticks(range(0, there.sizes["unit"], step), there.unit.values[::step], fontsize=7)
for border in borders:
    ax.axhline(border, color="k", lw=0.8)
fig.colorbar(image, ax=ax, label="z-score", shrink=0.8)
ax.set(xlabel="time (s)", title=f"{there.sizes['unit']} named neurons by type ({told})")

# %%
# The connectome beside the correlations
# --------------------------------------
# Both on the same neurons in the same order, because both are labelled. Chemical synapses and gap junctions are added.

wiring = connectome.load(wiring_file)
print(wiring.attrs["counts"], "rows left out:", wiring.attrs["dropped_rows"])
names = list(there.unit.values)
joined = wiring.sel(source=names, target=names).sum("kind")
correlation = connectivity.correlation(there).connectivity.sel(source=names, target=names)

fig, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
left = axes[0].imshow(np.log2(1 + joined.values), cmap="Greys", interpolation="nearest")
right = axes[1].imshow(correlation.values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
starts = np.concatenate([[-0.5], borders, [len(names) - 0.5]])
middles = (starts[1:] + starts[:-1]) / 2
short = {"interneuron": "inter", "pharyngeal": "phar."}
present = [short.get(kind, kind) for kind in dict.fromkeys(there.cell_type.values)]
for ax, title in zip(axes, ("connectome: from row to column", "correlation of the traces"), strict=True):
    for border in borders:
        ax.axhline(border, color="C0", lw=0.6)
        ax.axvline(border, color="C0", lw=0.6)
    ax.set_xticks(middles, present, fontsize=8)
    ax.set_yticks(middles, present, fontsize=8, rotation=90, va="center")
    ax.tick_params(length=0)
    ax.set_title(title)
fig.colorbar(left, ax=axes[0], label="log2(1 + synapses)", shrink=0.75)
fig.colorbar(right, ax=axes[1], label="r", shrink=0.75)
fig.suptitle(told, fontsize=9)

# %%
# Do wired neurons go together?
# -----------------------------
# The mean correlation of connected pairs less that of the others, and the same with the names of the wiring shuffled.

pairs = np.triu_indices(len(names), 1)
linked = (joined.values + joined.values.T) > 0
r = correlation.values[pairs]


def difference(order):
    """Give the difference in mean correlation for one order of the wiring's names."""
    wired = linked[np.ix_(order, order)][pairs]
    return r[wired].mean() - r[~wired].mean()


rng = np.random.default_rng(0)
null = [difference(rng.permutation(len(names))) for _ in range(200)]
found = difference(np.arange(len(names)))
print(f"connected pairs {found:+.3f}, shuffled names {np.mean(null):+.3f} ± {np.std(null):.3f}")
