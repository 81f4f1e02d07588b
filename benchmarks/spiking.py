"""Spiking networks beside Brian2 (cython): 1,000 integrate-and-fire neurons, 10% synapses, 10 s; one thread each.

    python benchmarks/spiking.py --brian2 PYTHON            # PYTHON has Brian2: see tests/core/data/brian2

Timed is the run of a network that is already laid out, compiled
and warm, on both sides; "whole call" also lays it out and builds the session, for which Brian2 has no counterpart. The
time is that of the processor, which on one thread is the time it takes and does not grow on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _measure import Row, keep, options

SIZE, SECONDS = 1000, 10.0
STEPS = {1e-3: 5.0, 1e-4: 20.0}
"""Steps in seconds, and how many times sooner than Brian2."""

PEER = """
import sys, time, json
import numpy as np, brian2 as b
net, step, repeats = np.load(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
b.prefs.codegen.target = "cython"
b.defaultclock.dt = step * b.second
cells = b.NeuronGroup(len(net["weights"]), "dv/dt = (drive - v) / (20*ms) : 1\\ndrive : 1", threshold="v >= 1",
                      reset="v = 0", method="exact")
cells.v, cells.drive = net["initial"], net["current"]
pre, post = np.nonzero(net["weights"])
wires = b.Synapses(cells, cells, "w : 1", on_pre="v_post += w")
wires.connect(i=pre, j=post)
wires.w = net["weights"][pre, post]
monitor = b.SpikeMonitor(cells)
whole = b.Network(cells, wires, monitor)
whole.store()
whole.run(20 * step * b.second)
found = []
for _ in range(repeats):
    whole.restore()
    start = time.process_time()
    whole.run(float(sys.argv[4]) * b.second)
    found.append(time.process_time() - start)
print(json.dumps([found, int(monitor.num_spikes)]))
"""


def numbers() -> dict[str, np.ndarray]:
    """Draw the network of the rig: a fifth inhibitory and five times as strong, without dimension."""
    rng = np.random.default_rng(0)
    weights = np.abs((rng.random((SIZE, SIZE)) < 0.1) * rng.normal(0, 1, (SIZE, SIZE)) * 0.02)
    weights[int(0.8 * SIZE) :] *= -5
    np.fill_diagonal(weights, 0)
    current = np.random.default_rng(1).uniform(0.9, 1.3, SIZE)
    return {"weights": weights, "current": current, "initial": np.random.default_rng(2).random(SIZE)}


def ours(net: dict[str, np.ndarray], step: float, dtype: str, repeats: int) -> tuple[list[float], list[float], int]:
    """Time the kernel alone and the whole call."""
    from neurointerp.models import spiking
    from neurointerp.models.spiking import simulation

    cells = spiking.LIF(SIZE, tau=0.02, rest=0.0, threshold=1.0, reset=0.0, initial=net["initial"])
    network = spiking.Network(
        {"n": cells}, [spiking.Synapses("n", "n", net["weights"])], [spiking.Current("n", net["current"])], units="1"
    )
    spiking.simulate(network, 0.1, step=step, dtype=dtype)
    laid, none = simulation.plan(network, step, dtype), np.zeros(0, dtype=np.int64)
    length = round(SECONDS / step)
    kernel, whole, spikes = [], [], 0
    for _ in range(repeats):
        start = time.process_time()
        found: Any = simulation._compiled(laid, length, 0, length, none, none)
        kernel.append(time.process_time() - start)
        spikes = found[0][0].size
        start = time.process_time()
        spiking.simulate(network, SECONDS, step=step, dtype=dtype)
        whole.append(time.process_time() - start)
    return kernel, whole, spikes


def main() -> None:
    parser = options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--brian2", required=True, help="a Python that has Brian2")
    chosen = parser.parse_args()
    net = numbers()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.npz"
        np.savez(path, **net)
        for step, target in STEPS.items():
            command = [chosen.brian2, "-c", PEER, str(path), str(step), str(chosen.rounds), str(SECONDS)]
            out = subprocess.run(command, capture_output=True, text=True, check=True)
            theirs, count = json.loads(out.stdout.splitlines()[-1])
            for dtype in ("float64", "float32"):
                kernel, whole, spikes = ours(net, step, dtype, chosen.rounds)
                quality = f"{spikes:,} spikes and {count:,}"
                for what, found in (("run", kernel), ("layout, run and session", whole)):
                    workload = f"{SIZE:,} LIF, 10% synapses, {SECONDS:g} s by {step * 1e3:g} ms, {dtype}; {what}"
                    row = Row("spiking", workload, "Brian2 cython, run", found, theirs,
                              target if what == "run" else None, quality)  # fmt: skip
                    keep(row, chosen.rows)


if __name__ == "__main__":
    main()
