"""Train the hatchling and the Transformer it is compared with, and print what each reaches beside its bound.

`entropy`: text of known entropy, the loss above that entropy. `bytes`: the topics of `pydoc`, bits per byte of the last
tenth. Both at 4 layers, 64 channels, 4 heads of 512 neurons (0.43 million parameters), 16 x 128 tokens an update. The
rivals have as many parameters, with 8 layers of 64 channels or 4 of 88. The curve is of held-out text, and every model
of one call has the same schedule of learning rates, stretched to the updates asked for. Give several `--rates` to let
each model have its best. `concepts` and `recall`: the other checks, at the size of the slow tests.
"""

from __future__ import annotations

import argparse
import json
import pydoc_data.topics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurointerp.models import hatchling

BATCH, LENGTH, HELD_OUT = 16, 129, 192
KINDS = ("plain", "word", "attribute", "copy")
MODELS = {
    "BDH": lambda: hatchling.BDH(hatchling.Config(256, layers=4, width=64, heads=4, neurons=512, dropout=0.0)),
    "Transformer 8 x 64": lambda: hatchling.RotaryTransformer(256, layers=8),
    "Transformer 4 x 88": lambda: hatchling.RotaryTransformer(256, layers=4, width=88, hidden=352),
}


def surprisal(model: torch.nn.Module, rows: np.ndarray) -> np.ndarray:
    """Give the nats (row, token) of every token but the first."""
    out = []
    with torch.inference_mode():
        for part in torch.from_numpy(rows.astype(np.int64)).split(64):
            logits = model(part[:, :-1]).transpose(1, 2)
            out.append(torch.nn.functional.cross_entropy(logits, part[:, 1:], reduction="none").numpy())
    return np.concatenate(out)


def known(steps: int) -> tuple[np.ndarray, Any]:
    text = hatchling.known_entropy_corpus(sequences=steps * BATCH, length=LENGTH, seed=1)
    test = hatchling.known_entropy_corpus(sequences=HELD_OUT, length=LENGTH, seed=2)

    def score(model: torch.nn.Module) -> dict[str, float]:
        above = surprisal(model, test.tokens) - test.surprisal[:, 1:]
        kinds = {name: float(above[test.kind[:, 1:] == kind].mean()) for kind, name in enumerate(KINDS)}
        return {"score": float(above.mean()), **kinds}

    return text.tokens, score


def topics(steps: int) -> tuple[np.ndarray, Any]:
    text = "\n".join(body for _, body in sorted(pydoc_data.topics.topics.items())).encode()
    whole = np.frombuffer(text, np.uint8)
    cut = len(whole) * 9 // 10
    start = np.random.default_rng(1).integers(cut - LENGTH + 1, size=steps * BATCH)
    unseen = whole[cut:]
    rows = unseen[: len(unseen) // LENGTH * LENGTH].reshape(-1, LENGTH)

    def score(model: torch.nn.Module) -> dict[str, float]:
        return {"score": float(surprisal(model, rows[:: max(len(rows) // HELD_OUT, 1)]).mean() / np.log(2))}

    return whole[:cut][start[:, None] + np.arange(LENGTH)].astype(np.int64), score


def trained(name: str, rows: np.ndarray, score: Any, steps: int, rate: float, path: Path) -> list[dict[str, float]]:
    """Train one model, or read what an earlier call found."""
    if path.exists():
        return json.loads(path.read_text())
    model, curve = MODELS[name](), []
    every = max(steps // 8, 1)

    def on_step(done: int, now: torch.nn.Module) -> None:
        if done and (done % every == 0 or done == steps):
            curve.append({"step": done, **score(now)})
            shown = "  ".join(f"{key} {value:.4g}" for key, value in curve[-1].items())
            print(f"{name:20s} rate {rate:g}  {shown}", flush=True)

    # Half precision costs the hatchling nothing that shows, and halves its time; the Transformer's time it does not.
    dtype = torch.bfloat16 if name == "BDH" else torch.float32
    hatchling.train(model, rows, steps=steps, batch_size=BATCH, learning_rate=rate, dtype=dtype, on_step=on_step)
    path.write_text(json.dumps(curve))
    return curve


def compare(task: str, steps: int, rates: list[float], rivals: list[str], folder: Path) -> None:
    rows, score = (known if task == "entropy" else topics)(steps)
    best = {}
    for name in ["BDH", *rivals]:
        size = sum(parameter.numel() for parameter in MODELS[name]().parameters())
        print(f"{task}: {name}, {size} parameters", flush=True)
        found = []
        for rate in rates:
            path = folder / f"{task}-{name.replace(' ', '')}-{steps}-{rate:g}.json"
            found.append(trained(name, rows, score, steps, rate, path))
        best[name] = min(found, key=lambda curve: curve[-1]["score"])
    rival = min((best[name] for name in rivals), key=lambda curve: curve[-1]["score"])
    for one, other in zip(best["BDH"], rival, strict=True):
        parts = "  ".join(f"{kind} {one[kind]:.3f}/{other[kind]:.3f}" for kind in one if kind not in ("step", "score"))
        ratio = one["score"] / other["score"]
        print(f"{one['step']:5.0f} updates: {one['score']:.4f} / {other['score']:.4f} = {ratio:.3f}  {parts}")
    bound = 1.10 if task == "entropy" else 1.05
    verdict(f"{task}, {steps} updates: BDH / Transformer", ratio, "<=", bound)


SMALL = hatchling.Config(vocab_size=64, layers=4, width=64, heads=4, neurons=256, dropout=0.0)


def concepts(steps: int, rates: list[float]) -> None:
    """Checks 4 to 6, with 1,024 neurons and as large a Transformer, each at the best of its rates."""
    text = hatchling.known_entropy_corpus(sequences=16 * steps, seed=1)
    first, second = (hatchling.known_entropy_corpus(sequences=600, seed=seed) for seed in (11, 12))
    best: list[torch.nn.Module] = []
    for build in (lambda: hatchling.BDH(SMALL), lambda: hatchling.RotaryTransformer(64)):
        found = []
        for rate in rates:
            found.append(build())
            hatchling.train(found[-1], text.tokens, steps=steps, learning_rate=rate)
        best.append(min(found, key=lambda model: hatchling.loss(model, second.tokens)))
    excess = [hatchling.loss(model, first.tokens) - first.entropy for model in best]
    verdict(f"entropy, {steps} updates, 1,024 neurons: BDH / Transformer", excess[0] / excess[1], "<=", 1.10)
    for site in ("x", "y", "xy"):
        shares = [active(model, first.tokens[:40], site) for model in (best[0], hatchling.BDH(SMALL))]
        print(f"active {site}: {shares[0]:.3f}, before training {shares[1]:.3f}")
    verdict("active xy, trained / untrained", shares[0] / shares[1], "<=", 0.5)
    auroc = hatchling.concept_synapses(best[0], first, second).auroc
    for arm in auroc.arm.values:
        held, other = (auroc.sel(arm=arm, words=words) for words in ("test", "other_form"))
        print(f"{arm}: held out at least {float(held.min()):.3f}, mean {float(held.mean()):.3f}", end="; ")
        print(f"other form 0.85 or more for {float((other >= 0.85).mean()):.2f}, mean {float(other.mean()):.3f}")
    chosen = auroc.sel(arm="synapse")
    verdict("held-out AUROC of the worst synapse", float(chosen.sel(words="test").min()), ">=", 0.9)
    verdict("synapses at 0.85 in the other form", float((chosen.sel(words="other_form") >= 0.85).mean()), ">=", 0.5)
    last = first.place == 2
    every = np.arange(len(last))[:, None] < 240  # of as many sequences as take minutes
    for where, kept in (("last letters", last), ("all tokens", every & np.ones_like(last))):
        truth = np.where(last, first.concept, -1)[kept]
        scores = [
            max(matched_f1(parts(values), truth) for values in layers(model, first.tokens, kept)) for model in best
        ]
        print(f"F1 of parts and concepts, {where}: BDH {scores[0]:.3f}, Transformer {scores[1]:.3f}")
        verdict(f"F1, {where}, BDH", scores[0], ">=", 0.7)
        verdict(f"F1, {where}, BDH / Transformer", scores[0] / scores[1], ">=", 1.2)


def active(model: hatchling.BDH, tokens: np.ndarray, site: str) -> float:
    return float((hatchling.record(model, tokens, sites=[site])[f"recordings/{site}/recording"] > 0).mean())


def layers(model: torch.nn.Module, tokens: np.ndarray, kept: np.ndarray) -> Iterator[np.ndarray]:
    """Give xy, or what the MLP's down-projection reads, of each layer at the kept tokens."""
    if isinstance(model, hatchling.BDH):
        for layer in range(model.config.layers):
            session = hatchling.record(model, tokens, sites=["xy"], layers=[layer], keep=list(kept))
            yield session["recordings/xy/recording"].values
        return
    for block in model.blocks:
        held: list[torch.Tensor] = []
        hook = block.down.register_forward_pre_hook(lambda _, given, held=held: held.append(given[0]))
        with torch.inference_mode():
            model(torch.from_numpy(tokens))
        hook.remove()
        yield held[0].numpy()[kept]


def parts(values: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import NMF

    return NMF(30, init="nndsvda", max_iter=2000, tol=1e-3, random_state=0).fit_transform(values)


def matched_f1(found: np.ndarray, concept: np.ndarray) -> float:
    """Give the mean F1 of concepts matched with parts; thresholds from every second sample, F1 from the rest."""
    from scipy.optimize import linear_sum_assignment

    first = np.arange(len(concept)) % 2 == 0
    truth = concept == np.arange(20)[:, None]
    scores = np.zeros((20, found.shape[1]))
    for part, values in enumerate(found.T):
        above = values > np.quantile(values, np.linspace(0.8, 0.999, 40))[:, None]
        hits = [(truth[:, half] @ above[:, half].T.astype(float)) for half in (first, ~first)]
        f1 = [
            2 * hit / (truth[:, half].sum(1)[:, None] + above[:, half].sum(1))
            for hit, half in zip(hits, (first, ~first), strict=True)
        ]
        scores[:, part] = f1[1][np.arange(20), f1[0].argmax(1)]
    rows, columns = linear_sum_assignment(-scores)
    return float(scores[rows, columns].mean())


def recall() -> None:
    """Check 3: eight pairs of eight keys and eight values, after lessons with fewer."""
    model = hatchling.BDH(hatchling.Config(16, layers=2, width=64, heads=1, neurons=512, dropout=0.0))
    for pairs, steps in ((2, 600), (3, 300), (4, 300), (6, 300), (8, 600)):
        rows, asked = hatchling.recall_task(sequences=40_000, pairs=pairs, queries=pairs, keys=8, values=8, seed=pairs)
        hatchling.train(model, rows, counted=asked, steps=steps, batch_size=64, learning_rate=2e-3)
    tokens = torch.from_numpy(hatchling.recall_task(sequences=1000, pairs=8, keys=8, values=8, seed=9)[0])
    right = []
    for forgets in (False, True):
        state = hatchling.State(model, len(tokens))
        with torch.inference_mode():
            for t in range(16):
                model.step(tokens[:, t], state)
            if forgets:
                state.forget()
            right.append(float((model.step(tokens[:, 16], state).argmax(-1) == tokens[:, 17]).float().mean()))
    verdict("recall of eight pairs", right[0], ">=", 0.9)
    verdict("recall with the memory set to zero, distance from chance", abs(right[1] - 1 / 8), "<=", 0.05)


def verdict(what: str, found: float, sense: str, bound: float) -> None:
    met = found <= bound if sense == "<=" else found >= bound
    print(f"{what}: {found:.3f}  ({sense} {bound}: {'met' if met else 'NOT MET'})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("entropy", "bytes", "concepts", "recall"))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3, 3e-3])
    parser.add_argument("--rivals", nargs="+", choices=list(MODELS)[1:], default=list(MODELS)[1:])
    parser.add_argument("--folder", type=Path, default=Path("trained"), help="curves are kept here, and read again")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if options.task == "recall":
        recall()
    elif options.task == "concepts":
        concepts(options.steps, options.rates)
    else:
        compare(options.task, options.steps, options.rates, options.rivals, options.folder)


if __name__ == "__main__":
    main()
