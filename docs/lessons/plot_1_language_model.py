"""
A language model: record, ablate, steer
=======================================

A language model is trained for some seconds on a toy text. Then its parts are recorded, cut out, and pushed: which
head looks back at the animal, what is lost without it, and which direction makes the model say "cat"?
"""

# %%
# A model to look at
# ------------------
# Each line of the text names an animal at its start and again near its end, so something has to be remembered. The
# model reads words. A watch records the residual stream as it learns.

import matplotlib.pyplot as plt
import numpy as np
import torch

from neurointerp import models
from neurointerp.loaders import activations
from neurointerp.models import gpt

rng = np.random.default_rng(0)
animals, verbs, places = ["cat", "dog", "fox", "hen"], ["sat", "ran", "hid"], ["mat", "hill", "barn"]


def line(animal):
    """Give a line about an animal."""
    return f" the {animal} {rng.choice(verbs)} on the {rng.choice(places)} so we say {animal}"


text = "".join(line(rng.choice(animals)) for _ in range(3000))
prompts = [line(animal).rsplit(" ", 1)[0] for animal in animals for _ in range(8)]
answers = np.repeat(animals, 8)
tokenizer = gpt.Tokenizer.of_words(text[: int(0.9 * len(text))], 40)  # as training makes it: a tenth is held out
watch = activations.over_training(None, prompts, sites="logits", tokenizer=tokenizer, every=50)
model = gpt.train(
    text, config=gpt.Config(context=22, layers=2, heads=4, width=32), level="word", steps=600, on_step=watch, seed=0
)
print(f"held-out loss {model.held_out_loss:.2f} nats per word")

# %%
# What does it say after "so we say"? The watch has the logits of every word, at every 50th step; at the end of each
# prompt they give the probability of the right animal.

ids = torch.tensor([model.tokenizer(prompt) for prompt in prompts])
word = {animal: model.tokenizer(f" {animal}")[0] for animal in animals}
answered = np.arange(len(prompts)), np.repeat(np.arange(4), 8)


def recalled(chance):
    """Give the mean probability of the right animal."""
    return chance[..., [word[animal] for animal in animals]][answered].mean()


learnt = watch.recording()
ends = learnt.isel(trial=(learnt["position"] == ids.shape[1] - 1).values)
course = [recalled(torch.tensor(logits).softmax(-1).numpy()) for logits in ends.transpose("time", ...).values]
fig, ax = plt.subplots(figsize=(7.5, 2.4), layout="constrained")
ax.plot(ends["time"], course, color="#0072B2", marker="o", markersize=3)
ax.set(xlabel="training step", ylabel="right animal", ylim=(0, 1.04))
ax.spines[["top", "right"]].set_visible(False)


def says():
    """Give the probability of each word at the end of each prompt."""
    with torch.no_grad():
        return model(ids)[:, -1].softmax(-1).numpy()


intact = recalled(says())
print(f"probability of the right animal {intact:.2f}")

# %%
# Record
# ------
# The attention patterns of all heads: how much does the last word of a prompt look at the animal, which is its second?

rec = activations.record(model, prompts, tokenizer=model.tokenizer, sites=["attn.pattern", "attn.z", "resid.post"])
print(dict(rec.sizes), rec.attrs["system"])
last = rec.isel(time=(rec["position"] == ids.shape[1] - 1).values)
looks = last.isel(unit=((rec["site"] == "attn.pattern") & (rec["key"] == 1)).values).mean("time")

# %%
# Ablate
# ------
# Each head in turn gives its mean over the prompts instead of what it computes. What is left of the answer?

left = []
for layer in range(2):
    for head in range(4):
        with models.intervene(model, [models.mean(f"L{layer}.attn.z", rec, heads=[head])]):
            left.append(recalled(says()))

fig, axes = plt.subplots(2, 1, figsize=(7.5, 4.6), layout="constrained", sharex=True)
names = [f"layer {layer}\nhead {head}" for layer in range(2) for head in range(4)]
axes[0].bar(names, looks.values, color="#0072B2")
axes[0].set(ylabel="attention\nto the animal", ylim=(0, 1))
axes[1].bar(names, left, color="#D55E00")
axes[1].axhline(intact, color="black", linewidth=0.8)
axes[1].text(7.5, intact, " intact", va="center", backgroundcolor="white")
axes[1].axhline(0.25, color="black", linewidth=0.8, linestyle=":")
axes[1].text(7.5, 0.25, " chance", va="center", backgroundcolor="white")
axes[1].set(ylabel="right animal,\nhead ablated", ylim=(0, 1.08), xlim=(-0.6, 8.4))
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)

# %%
# Where a head looks and what hangs on it are two questions: the bars of one row do not tell those of the other.
#
# Steer
# -----
# The mean residual stream at the last word of the prompts about cats, less that of all prompts, is a direction. Added
# to the stream of the others, it makes them say "cat". The strength is tuned so that the prediction moves by half a
# nat at the one word of ten that is changed, 0.05 on average.

stream = last.isel(unit=((rec["site"] == "resid.post") & (rec["layer"] == 1)).values)
direction = stream.values[answers == "cat"].mean(axis=0) - stream.values.mean(axis=0)
steer = models.add("L1.resid.post", direction)
tuned = models.tune(steer, model, ids, target_kl=0.05, positions=-1)
moved = models.divergence(model, ids, [tuned], positions=-1)
print(f"strength {tuned.strength:.2f} moves the prediction by {moved:.3f} nats")

strengths = np.linspace(0, 3, 13)
course = []
for strength in strengths:
    with models.intervene(model, [models.add("L1.resid.post", direction, strength)], positions=-1):
        course.append(says()[answers != "cat"].mean(axis=0)[[word[animal] for animal in animals]])

fig, ax = plt.subplots(figsize=(7.5, 3), layout="constrained")
colours = ("#D55E00", "#0072B2", "#009E73", "#999999")
for animal, values, colour in zip(animals, np.array(course).T, colours, strict=True):
    ax.plot(strengths, values, color=colour, label=animal, marker="o", markersize=3)
ax.axvline(tuned.strength, color="black", linewidth=0.8, linestyle=":")
ax.text(tuned.strength + 0.03, 0.97, "tuned", va="top")
ax.set(xlabel="strength of the cat direction", ylabel="mean probability", ylim=(0, 1.02), xlim=(0, 3))
ax.set_title("prompts about the other animals")
ax.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.25))
ax.spines[["top", "right"]].set_visible(False)

# %%
# Outside the context nothing of it is left.

assert recalled(says()) == intact
