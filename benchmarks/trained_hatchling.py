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


def verdict(what: str, found: float, sense: str, bound: float) -> None:
    met = found <= bound if sense == "<=" else found >= bound
    print(f"{what}: {found:.3f}  ({sense} {bound}: {'met' if met else 'NOT MET'})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("entropy", "bytes"))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3, 3e-3])
    parser.add_argument("--rivals", nargs="+", choices=list(MODELS)[1:], default=list(MODELS)[1:])
    parser.add_argument("--folder", type=Path, default=Path("trained"), help="curves are kept here, and read again")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    compare(options.task, options.steps, options.rates, options.rivals, options.folder)


if __name__ == "__main__":
    main()
