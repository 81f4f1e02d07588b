"""The recipe for SLURM in the documentation: the job it writes, and that job handed to bash."""

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
parse_timedelta = pytest.importorskip("dask.utils").parse_timedelta
pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
SBATCH = """#!/bin/sh
cp "$1" "$1.job"
setsid bash "$1.job" > "$1.log" 2>&1 &
echo "Submitted batch job $!"
"""
"""Stands for SLURM's, which keeps the script too: what it asks for is a comment to bash. A job is a process group."""
SCANCEL = """#!/bin/sh
kill -KILL -- "-$1"
"""
LIVES = ("lifetime", "lifetime-stagger")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The cluster of the page, as its code makes it."""
    for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(ni.__file__).parents[1]))
    code = PAGE.read_text().split("## On SLURM")[1].split("```py\n")[1].split("cluster.adapt")[0]
    made = {}
    quiet = {"dashboard_address": ":0", "host": "127.0.0.1"}
    with dask.config.set({"jobqueue.slurm.scheduler-options": quiet, "distributed.worker.daemon": True}):
        exec(code, made)  # what a reader would run
        with made["cluster"] as cluster:
            yield cluster


def test_the_job_of_the_page_asks_slurm_for_what_is_meant(cluster):
    script = cluster.job_script()
    asked = dict(re.findall(r"^#SBATCH (\S+?)[ =](\S+)$", script, flags=re.MULTILINE))
    assert asked.items() >= {"-p": "normal", "-A": "lab", "-n": "1", "--cpus-per-task": "8", "-t": "04:00:00"}.items()
    assert int(asked["--mem"].rstrip("G")) * 2**30 <= 16e9 * 1.01
    *lines, command = script.strip().splitlines()
    assert lines[-2:] == ["export OMP_NUM_THREADS=1 MALLOC_ARENA_MAX=2", "export NEUROINTERP_CACHE=/shared/cache"]
    assert "--nthreads 8 --memory-limit 14.90GiB" in command
    assert "--local-directory $TMPDIR" in command  # the node's, not that of the machine that asks
    lifetime, stagger = (parse_timedelta(re.search(rf"--{name} (\S+)", command)[1]) for name in LIVES)
    assert lifetime + stagger <= 4 * 3600 - 240


@pytest.mark.slow
def test_jobs_of_the_page_compute_and_are_replaced(cluster, tmp_path):
    rec = ni.recording(np.random.default_rng(0).standard_normal((4000, 6)), modality="eeg", units="V",
                       sampling_rate=100.0)  # fmt: skip
    ni.save(rec, tmp_path / "day.zarr")
    cluster.adapt(minimum_jobs=1, maximum_jobs=2)
    with distributed.Client(cluster) as client:
        client.wait_for_workers(1, timeout=90)
        lazy = ni.open(tmp_path / "day.zarr").chunk({"time": 200})
        wanted = connectivity.correlation(rec).connectivity
        np.testing.assert_allclose(connectivity.correlation(lazy).connectivity, wanted, atol=1e-12)
        (before,) = set(client.run(os.getpid).values())
        os.killpg(os.getpgid(before), signal.SIGKILL)  # as SLURM kills a job
        late = time.monotonic() + 90
        while before in (there := set(client.run(os.getpid, on_error="ignore").values())) or not there:
            assert time.monotonic() < late, "no other job came"
            time.sleep(1)
        np.testing.assert_allclose(connectivity.correlation(lazy).connectivity, wanted, atol=1e-12)
