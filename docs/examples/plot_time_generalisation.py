"""
How long does a word stay readable in a language model?
=======================================================

A rule that reads a word from the activations at one token can be tried at the tokens before and after. Where it still
works the code has lasted, where only a new rule works it has moved on. The recording is real: 384 units of an MLP layer
of MiniLM, reading twelve paragraphs.
"""

# %%
# Trials: determiners and prepositions
# ------------------------------------
# Each determiner and each preposition is a trial, from four tokens before it to six after. Time counts tokens. A trial
# keeps the paragraph it comes from as its ``stimulus``, so that whole paragraphs are held out.

import matplotlib.pyplot as plt
import numpy as np

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import decoding

layer = ni.load("demo-activations")
kinds = dict.fromkeys(("the", "a", "an", "his", "her", "its", "their"), "determiner")
kinds |= dict.fromkeys(("of", "in", "on", "at", "to", "with", "from", "by", "for"), "preposition")

before, after = 4, 6
kind = np.array([kinds.get(str(token), "") for token in layer["token"].values], dtype=object)
paragraph = layer["segment"].values
places = [
    at
    for at in np.flatnonzero(kind != "")
    if before <= at < len(kind) - after and paragraph[at - before] == paragraph[at + after]
]
trials = ni.recording(
    np.stack([layer.values[at - before : at + after + 1] for at in places]),
    modality="activations",
    units="1",
    dims=("trial", "time", "unit"),
    time=np.arange(-before, after + 1),
    unit=list(layer["unit"].values),
    coords={"kind": ("trial", kind[places]), "stimulus": ("trial", layer["stimulus"].values[places])},
)
print(dict(trials.sizes), dict(zip(*np.unique(kind[places].astype(str), return_counts=True), strict=True)))

# %%
# A rule at each token
# --------------------
# Penalised least squares on the two kinds, five folds of held-out paragraphs. For the null, words change kinds within
# their paragraph.

each = decoding.linear(trials, "kind", time="each", by="stimulus", method="ridge", penalty=300.0, permutations=200)
fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
plot.score_course(each, ax)
ax.set(xlabel="token, from the word", title="determiner or preposition?")

# %%
# The word itself is read without error. So are its neighbours, in part: after a determiner comes a noun or an
# adjective, after a preposition mostly a determiner.
#
# Each rule at every token
# ------------------------
# The square shows whether one rule reads both. Pairs of tokens whose score is above chance after correction for all
# pairs are outlined (among the largest score of each permutation).

square = decoding.time_generalisation(trials, "kind", by="stimulus", method="ridge", penalty=300.0, permutations=200)
fig, ax = plt.subplots(figsize=(5.2, 4.4), layout="constrained")
plot.time_generalisation_matrix(square, ax)
ax.set(xlabel="tested at token", ylabel="trained at token")

# %%
# Below chance (blue) a rule answers the wrong way round: the token after a preposition is often a determiner, and the
# rule that was trained at the word says so. Off the diagonal red cells tell of grammar as well: what stands two tokens
# before a preposition is like what follows a determiner.

mean = square.balanced_accuracy.mean("fold")
print("trained at the word, tested one token on:", round(float(mean.sel(train_time=0, test_time=1)), 2))
print("pairs of tokens above chance, corrected:", int((square.p_corrected <= 0.05).sum()), "of", mean.size)
