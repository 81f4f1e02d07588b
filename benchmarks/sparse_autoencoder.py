"""One Adam step of a top-k sparse autoencoder beside sparsify (EleutherAI) and dictionary_learning, on the CPU.

768 units, 16,384 components, batches of 4,096, 32 active. The limit is the product that gives the codes, the one dense
product of a step. Peers that are not installed are left out by name:

    pip install eai-sparsify dictionary-learning
    python benchmarks/sparse_autoencoder.py
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

import torch
from _measure import Row, contest, keep, options

from neurointerp.analyses.features._sparse_codes import backward

UNITS, RANK, BATCH, ACTIVE = 768, 16384, 4096, 32


def batch() -> torch.Tensor:
    """Give samples of 64 latent directions and noise."""
    rng = torch.Generator().manual_seed(0)
    latent = torch.randn(BATCH, 64, generator=rng) @ torch.randn(64, UNITS, generator=rng) / 8
    return latent + 0.3 * torch.randn(BATCH, UNITS, generator=rng)


def ours(x: torch.Tensor) -> tuple[Callable[[], float], Callable[[], Any]]:
    """Give a step, and the dense product in it."""
    start = torch.randn(RANK, UNITS, generator=torch.Generator().manual_seed(0))
    start /= start.norm(dim=1, keepdim=True)
    F, E = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    e, b = torch.nn.Parameter(torch.zeros(RANK)), torch.nn.Parameter(torch.zeros(UNITS))
    adam = torch.optim.Adam([F, E, e, b], lr=1e-4, fused=True)

    def step() -> float:
        loss, _ = backward(x, F, E, e, b, ACTIVE)
        adam.step()
        return loss

    def product() -> Any:
        with torch.no_grad():
            return torch.addmm(e, x, E.T)

    return step, product


def dense(x: torch.Tensor) -> Callable[[], float]:
    """Give the step that automatic differentiation of dense codes takes."""
    start = torch.randn(RANK, UNITS, generator=torch.Generator().manual_seed(0))
    start /= start.norm(dim=1, keepdim=True)
    F, E = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    e, b = torch.nn.Parameter(torch.zeros(RANK)), torch.nn.Parameter(torch.zeros(UNITS))
    adam = torch.optim.Adam([F, E, e, b], lr=1e-4, fused=True)

    def step() -> float:
        codes = torch.relu((x - b) @ E.T + e)
        top = codes.topk(ACTIVE, dim=1, sorted=False)
        loss = (torch.zeros_like(codes).scatter(1, top.indices, top.values) @ F + b - x).square().sum(1).mean()
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
        return float(loss.detach())

    return step


def sparsify(x: torch.Tensor) -> Callable[[], float]:
    """Give EleutherAI's step."""
    os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # its kernels are for GPUs
    from sparsify import SparseCoder, SparseCoderConfig

    coder = SparseCoder(UNITS, SparseCoderConfig(num_latents=RANK, k=ACTIVE), dtype=torch.float32)
    adam = torch.optim.Adam(coder.parameters(), lr=1e-4)

    def step() -> float:
        loss = coder(x).fvu
        torch.autograd.backward(loss)
        adam.step()
        adam.zero_grad()
        return float(loss.detach())

    return step


def dictionary_learning(x: torch.Tensor) -> Callable[[], float]:
    """Give dictionary_learning's step."""
    from dictionary_learning.trainers.top_k import TopKTrainer

    trainer = TopKTrainer(
        steps=10_000, activation_dim=UNITS, dict_size=RANK, k=ACTIVE, layer=0, lm_name="none", device="cpu",
        warmup_steps=1,
    )  # fmt: skip
    count = iter(range(10_000))
    return lambda: float(trainer.update(next(count), x))


PEERS = {"sparsify": (sparsify, 2.5), "dictionary_learning": (dictionary_learning, 6.0), "dense, torch": (dense, None)}
"""Who, and how many times sooner."""


def main() -> None:
    """Measure and print."""
    parser = options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--only", choices=list(PEERS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    x = batch()
    for name, (make, target) in PEERS.items():
        if chosen.only not in (None, name):
            continue
        step, product = ours(x)
        try:
            theirs = make(x)
        except ImportError as error:
            print(f"{name} is left out: {error}")
            continue
        theirs()
        workload = f"{UNITS} units, {RANK:,} components, batch {BATCH:,}, {ACTIVE} active, float32"
        row = Row(
            "top-k SAE step",
            workload,
            name,
            [],
            [],
            target,
            "one Adam step",
            "the product that gives the codes, in float32",
        )
        keep(contest(row, step, theirs, chosen.rounds, limit=product), chosen.rows)


if __name__ == "__main__":
    main()
