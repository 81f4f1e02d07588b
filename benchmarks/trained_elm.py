"""Train the ELM neuron and its baselines on a simulated neuron, and print what each reaches beside its bound.

128 trials of 6 s to train on; of the learning rates, the best on 16 others is taken; every figure is of 16 further
trials. All networks get the same updates of 16 windows of 500 ms. `adding` trains on digits spelled in spikes instead.
What was trained is kept in `--folder`, and read again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from neurointerp.models import elm

ARMS: dict[str, Any] = {
    "ELM": lambda routing, seed: cell(routing, seed),
    "ELM to 10 ms": lambda routing, seed: cell(routing, seed, tau_max=10.0),
    "ELM 1 memory": lambda routing, seed: cell(routing, seed, memories=1),
    "ELM scattered": lambda _, seed: cell(np.random.default_rng(1 + seed).permutation(128).reshape(8, 16), seed),
    "LSTM": lambda _, seed: elm.LSTM(128, 4, seed=seed),
    "TCN": lambda _, seed: elm.TCN(128, 8, seed=seed),
    "LSTM x 10": lambda _, seed: elm.LSTM(128, 33, seed=seed),
    "TCN x 10": lambda _, seed: elm.TCN(128, 33, seed=seed),
    "LIF": lambda _, seed: elm.LIF(128, seed=seed),
    "GLM": None,
}
# What is divided by what, of (1 - AUC) or of the unexplained variance, and the bound of the specification.
BOUNDS = (
    ("wrong", "ELM", "GLM", "<=", 0.5),
    ("open", "ELM", "GLM", "<=", 0.5),
    ("wrong", "ELM", "LSTM", "<=", 1.0),
    ("open", "ELM 1 memory", "ELM", ">=", 2.0),
    ("open", "ELM to 10 ms", "ELM", ">=", 1.5),
    ("wrong", "ELM", "ELM scattered", "<=", 0.8),
)


def cell(routing: np.ndarray, seed: int, **settings: Any) -> elm.ELM:
    return elm.ELM(elm.Config(inputs=128, activation="silu", **settings), routing=routing, seed=seed)


def teacher() -> list[xr.DataTree]:
    whole = elm.two_stage_neuron(trials=160)
    return [whole.isel(trial=part) for part in (slice(128), slice(128, 144), slice(144, None))]


def reached(arm: str, seed: int, rate: float, steps: int, data: list[xr.DataTree], path: Path) -> dict[str, float]:
    """Train one model, or read what an earlier call found."""
    if path.exists():
        return json.loads(path.read_text())
    branch = data[0]["truth/branch"].values
    build = ARMS[arm]
    if build is None:
        model, size = elm.fit_glm(data[0]), 2 * 385
    else:
        model = build(np.stack([np.flatnonzero(branch == number) for number in range(8)]), seed)
        size = sum(parameter.numel() for parameter in model.parameters())
        elm.fit(model, data[0], steps=steps, batch_size=16, learning_rate=rate, seed=seed)
    choice, score = (elm.evaluate(model, part) for part in data[1:])
    found = {
        "parameters": size,
        "choice": 2 - float(choice.auc) - float(choice.explained_variance),
        "wrong": 1 - float(score.auc),
        "open": 1 - float(score.explained_variance),
        "rmse": float(score.rmse),
    }
    path.write_text(json.dumps(found))
    return found


def neuron(arms: list[str], steps: int, seeds: int, rates: list[float], folder: Path) -> None:
    data, means = teacher(), {}
    for arm in arms:
        best = []
        for seed in range(seeds if arm != "GLM" else 1):
            tried = [
                reached(arm, seed, rate, steps, data, folder / f"{arm.replace(' ', '')}-{steps}-{rate:g}-{seed}.json")
                for rate in (rates if arm != "GLM" else [0.0])
            ]
            best.append(min(tried, key=lambda one: one["choice"]))
            shown = "  ".join(f"{key} {value:.4g}" for key, value in best[-1].items())
            print(f"{arm:14s} seed {seed}  {shown}", flush=True)
        means[arm] = {key: float(np.mean([one[key] for one in best])) for key in ("wrong", "open")}
    for key, above, below, sense, bound in BOUNDS:
        if above in means and below in means:
            name = "1 - AUC" if key == "wrong" else "unexplained variance"
            verdict(f"{name}, {above} / {below}", means[above][key] / means[below][key], sense, bound)


def adding(steps: int) -> None:
    train, test = elm.spike_adding(trials=6000, seed=1), elm.spike_adding(trials=1000, seed=2)
    wrong = []
    for model in (elm.ELM(elm.Config(140, 19, memories=50, dt=10.0, tau_max=500.0)), elm.LSTM(140, 35, outputs=19)):
        elm.train_adding(model, train, steps=steps)
        wrong.append(1 - elm.adding_accuracy(model, test))
        size = sum(parameter.numel() for parameter in model.parameters())
        print(f"{type(model).__name__}, {size} parameters: {1 - wrong[-1]:.3f} right", flush=True)
    verdict("adding, ELM right", 1 - wrong[0], ">=", 0.8)
    verdict("adding, wrong, ELM / LSTM", wrong[0] / wrong[1], "<=", 0.7)


def verdict(what: str, found: float, sense: str, bound: float) -> None:
    met = found <= bound if sense == "<=" else found >= bound
    print(f"{what}: {found:.3f}  ({sense} {bound}: {'met' if met else 'NOT MET'})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("neuron", "adding"))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-2])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("trained"), help="results are kept here, and read again")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.task == "adding":
        adding(options.steps)
    else:
        neuron(options.arms, options.steps, options.seeds, options.rates, options.folder)


if __name__ == "__main__":
    main()
