"""Recordings worked on by processes of this machine."""

import os
import signal
import subprocess
import sys
import time
import timeit

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


SETUP = "from pathlib import Path; from time import sleep; from neurointerp import AnalysisError"


def endless(folder):
    """Give options of `timeit.timeit` that take ten minutes, between a file that is made first and one at the end."""
    begun, ended = (str(folder / name) for name in ("begun", "ended"))
    body = ["try:", "    [sleep(0.01) for _ in range(60_000)]", "finally:"]
    lines = [f"Path({begun!r}).touch()", *body, f"    Path({ended!r}).touch()"]
    return {"stmt": "\n".join(lines), "setup": SETUP, "number": 1}


def waited(path):
    """Wait for a file, a minute at most."""
    end = time.monotonic() + 60
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return path.exists()


def test_an_error_arrives_as_it_is_and_ends_what_others_compute(tmp_path):
    begun = str(tmp_path / "begun")
    wrong = f"while not Path({begun!r}).exists():\n    sleep(0.01)\nraise AnalysisError('no such thing')"
    calls = {
        "a": {"stmt": wrong, "setup": SETUP},
        "b": endless(tmp_path),
        "c": endless(tmp_path),
    }
    with pytest.raises(ni.AnalysisError, match=r"^no such thing$"):
        list(cluster.finished(timeit.timeit, calls, workers=2))
    assert (tmp_path / "ended").exists()  # and took away after itself, long before its ten minutes


@pytest.mark.parametrize("how", ["Ctrl-C", "killed"])
def test_processes_end_with_the_one_that_asked(how, tmp_path):
    """Ctrl-C reaches all processes of a terminal, SIGKILL the first alone, which can tell nobody."""
    for name in "ab":
        (tmp_path / name).mkdir()
    script = tmp_path / "script.py"
    script.write_text(
        "import timeit\n"
        "from neurointerp import cluster\n"
        "if __name__ == '__main__':\n"
        f"    calls = { {name: endless(tmp_path / name) for name in 'ab'}!r}\n"
        "    print(dict(cluster.finished(timeit.timeit, calls, workers=2)))\n"
    )
    said = tmp_path / "said"
    with said.open("w") as stderr:
        asked = subprocess.Popen([sys.executable, script], stderr=stderr, start_new_session=True)
    assert all(waited(tmp_path / name / "begun") for name in "ab")
    os.killpg(asked.pid, signal.SIGINT) if how == "Ctrl-C" else asked.kill()
    assert asked.wait(60) == (-signal.SIGINT if how == "Ctrl-C" else -signal.SIGKILL)
    assert all(waited(tmp_path / name / "ended") for name in "ab")
    assert said.read_text().count("Traceback") == (how == "Ctrl-C"), said.read_text()  # of one process, not of each
