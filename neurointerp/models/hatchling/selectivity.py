"""Does one synapse stand for one concept, and does it in words that it was not chosen on?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import ModelError
from neurointerp.models.hatchling.corpus import SPELLED, Corpus
from neurointerp.models.hatchling.model import BDH

CANDIDATES = 12


def concept_synapses(
    model: BDH, train: Corpus, test: Corpus, *, layers: tuple[int, ...] | None = None, form: int = 0, seed: int = 0
) -> xr.Dataset:
    r"""Choose the synapse most selective for each concept on one text, and test it on another, and in the other form.

    What is scored is the increase of :math:`\sigma(pre, post)` from before the first letter of a word to its last, so
    none of the concept's attributes is seen yet. It is compared between words of the concept and words of all other
    concepts in the same form. Among all synapses of a head, those between its 12 most selective pre and 12 most
    selective post neurons are tried; all choices are made on `train` in `form` alone, and each score is of texts that
    had no part in any choice, so that the number of synapses tried cannot raise it.

    Parameters
    ----------
    model
        A trained model.
    train, test
        Two corpora of one language, drawn with different seeds.
    layers
        Where to look; the last two when left out.
    form
        The form of the words to choose on.
    seed
        Seed of the null, whose concepts are shuffled in `train`.

    Returns
    -------
    xarray.Dataset
        Along `concept`: `layer`, `head`, `pre`, `post` of the synapse; `auroc (arm, words, concept)` with arms
        `synapse`, `neuron` (the most selective xy, summed over the same letters, chosen the same way) and `null` (a
        synapse chosen for shuffled concepts); words `train`, `test` and `other_form` (test words in the other form).

    Raises
    ------
    ModelError
        When a concept is mentioned fewer than 5 times in either form of either text.

    References
    ----------
    After the monosemantic synapses of Kosowski et al. (2025), arXiv:2509.26507, whose statistics were not at hand.

    Examples
    --------
    >>> from neurointerp.models.hatchling import BDH, Config, known_entropy_corpus
    >>> model = BDH(Config(vocab_size=64, layers=1, width=8, heads=1, neurons=16))
    >>> texts = [known_entropy_corpus(sequences=300, seed=seed) for seed in (1, 2)]
    >>> concept_synapses(model, *texts).auroc.sizes["concept"]
    20
    """
    chosen = tuple(range(model.config.layers))[-2:] if layers is None else layers
    seen, held_out = (_mentions(model, corpus, chosen) for corpus in (train, test))
    for concepts, forms, *_ in (seen, held_out):
        counts = [((concepts == c) & (forms == f)).sum() for c in range(concepts.max() + 1) for f in (0, 1)]
        if min(counts) < 5:
            raise ModelError(f"concept_synapses: a concept is mentioned {min(counts)} times; give a longer text")
    count = int(seen[0].max()) + 1
    rng = np.random.default_rng(seed)
    shuffled = seen[0].copy()
    same = np.flatnonzero(seen[1] == form)
    shuffled[same] = rng.permutation(shuffled[same])
    where = np.empty((count, 4), dtype=np.int64)
    auroc = np.empty((3, 3, count))
    for concept in range(count):
        pick = _choose(seen, seen[0] == concept, form)
        null = _choose(seen, shuffled == concept, form)
        neuron = _best_neuron(seen, seen[0] == concept, form)
        where[concept] = (chosen[pick[0]], *pick[1:])
        for w, (part, other) in enumerate(((seen, form), (held_out, form), (held_out, 1 - form))):
            asked = part[1] == other
            truth = part[0][asked] == concept
            auroc[:, w, concept] = [
                _auroc(truth, _gain(part, pick)[asked]),
                _auroc(truth, _product(part, neuron)[asked]),
                _auroc(truth, _gain(part, null)[asked]),
            ]
    arms, words = (np.array(names.split(), dtype=object) for names in ("synapse neuron null", "train test other_form"))
    scores = xr.DataArray(auroc, dims=("arm", "words", "concept"), coords={"arm": arms, "words": words})
    columns = {name: ("concept", where[:, i]) for i, name in enumerate(("layer", "head", "pre", "post"))}
    return xr.Dataset({"auroc": scores, **columns}, coords={"concept": np.arange(count)})


Mentions = tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
Place = tuple[int, int, int, int]


def _mentions(model: BDH, corpus: Corpus, layers: tuple[int, ...]) -> Mentions:
    """Give concept and form of each whole word, and rotated x, y and x (mention, layer, head, letter, neuron)."""
    parts = list(_held(model, corpus, layers))
    concept, form, rotated, y, x = (np.concatenate(column) for column in zip(*parts, strict=True))
    return concept, form, rotated, y, x


def _held(model: BDH, corpus: Corpus, layers: tuple[int, ...]) -> Iterator[Mentions]:
    for start in range(0, len(corpus.tokens), 50):
        rows = slice(start, start + 50)
        row, last = np.nonzero(corpus.place[rows] == SPELLED - 1)
        letters = last[:, None] + np.arange(1 - SPELLED, 1)
        with torch.inference_mode():
            _, held = model.run(torch.from_numpy(corpus.tokens[rows]), layers=layers)
            rotated, y, x = (
                torch.stack([getattr(held[a], name)[row[:, None], :, letters] for a in layers], dim=1)
                .transpose(2, 3)
                .numpy()
                for name in ("rotated", "y", "x")
            )
        yield corpus.concept[rows][row, last], corpus.form[rows][row, last], rotated, y, x


def _choose(seen: Mentions, truth: NDArray[np.bool_], form: int) -> Place:
    """Give the synapse (place of the layer, head, pre, post) whose increase tells the concept best from others."""
    _, forms, rotated, y, _ = seen
    asked = forms == form
    truth, rotated, y = truth[asked], rotated[asked], y[asked]
    best, place = -np.inf, (0, 0, 0, 0)
    single = [_separation(truth, part.sum(3)) for part in (rotated, y)]
    for layer, head in np.ndindex(rotated.shape[1:3]):
        pre, post = (np.argsort(part[layer, head])[-CANDIDATES:] for part in single)
        gains = np.einsum("mtj,mti->mji", rotated[:, layer, head][..., pre], y[:, layer, head][..., post])
        found = _separation(truth, gains)
        j, i = np.unravel_index(int(found.argmax()), found.shape)
        if found[j, i] > best:
            best, place = float(found[j, i]), (layer, head, int(pre[j]), int(post[i]))
    return place


def _best_neuron(seen: Mentions, truth: NDArray[np.bool_], form: int) -> tuple[int, int, int]:
    _, forms, _, y, x = seen
    asked = forms == form
    found = _separation(truth[asked], (x[asked] * y[asked]).sum(3))
    layer, head, index = np.unravel_index(int(found.argmax()), found.shape)
    return int(layer), int(head), int(index)


def _gain(part: Mentions, place: Place) -> NDArray[np.float32]:
    layer, head, pre, post = place
    gained = part[2][:, layer, head, :, pre] * part[3][:, layer, head, :, post]
    return np.asarray(gained.sum(axis=1))


def _product(part: Mentions, place: tuple[int, int, int]) -> NDArray[np.float32]:
    layer, head, index = place
    return np.asarray((part[4][:, layer, head, :, index] * part[3][:, layer, head, :, index]).sum(axis=1))


def _separation(truth: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the difference of the means in units of the mean standard deviation; 0 where nothing varies."""
    inside, outside = values[truth], values[~truth]
    spread = inside.std(0) + outside.std(0)
    gap = inside.mean(0) - outside.mean(0)
    out = np.zeros_like(gap)
    np.divide(gap, spread, out=out, where=spread > 1e-6)
    apart: NDArray[np.float32] = out
    return apart


def _auroc(truth: NDArray[np.bool_], score: NDArray[np.float32]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, score))
