"""Recordings worked on by processes of this machine."""

import os
import subprocess
import sys

import pytest

import neurointerp as ni
from neurointerp import cluster


def test_processes_give_every_answer_by_name():
    calls = {name: {"path": f"of {name}"} for name in "abc"}
    assert dict(cluster.finished(os.fspath, calls, workers=2)) == {name: f"of {name}" for name in "abc"}


def test_a_process_that_dies_is_one_clear_error():
    """As where the kernel kills what takes too much memory: here it leaves without a word."""
    calls = {name: {"status": 137} for name in "ab"}
    with pytest.raises(ni.NeurointerpError, match="one of 2 worker processes ended before its answer"):
        list(cluster.finished(os._exit, calls, workers=2))


def test_a_script_without_a_guard_is_told_of_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from neurointerp import cluster\n"
        "calls = {'a': {'path': 'a'}, 'b': {'path': 'b'}}\n"
        "print(dict(cluster.finished(os.fspath, calls, workers=2)))\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ran.returncode != 0
    assert ran.stderr.splitlines()[-1].startswith("neurointerp.errors.NeurointerpError: one of 2 worker processes")
