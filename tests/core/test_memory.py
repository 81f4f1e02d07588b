"""What a process may still take, where control groups say so."""

import pytest

from neurointerp import memory

LOW = 2**20


@pytest.mark.parametrize("kinds", ["", "memory", "cpu,memory"])
@pytest.mark.parametrize("limited", ["slurm/job_7/step_0", "slurm/job_7", "slurm", ""])
def test_the_limit_of_any_group_that_the_process_lies_in_counts(kinds, limited, tmp_path, monkeypatch):
    groups, process = tmp_path / "groups", tmp_path / "process"
    process.mkdir()
    (process / "cgroup").write_text(f"7:cpuset:/elsewhere\n4:{kinds}:/slurm/job_7/step_0\n")
    most, now, files = memory.SPLIT if kinds else memory.UNIFIED
    root = groups / "memory" if kinds else groups
    for name in ("slurm/job_7/step_0", "slurm/job_7", "slurm", "", "elsewhere"):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / most).write_text(f"{4 * LOW}\n" if name in (limited, "elsewhere") else "max\n")
        (folder / now).write_text(f"{3 * LOW if name == limited else 4 * LOW}\n")
        (folder / "memory.stat").write_text(f"anon 5\n{files} {LOW // 2}\n")
    monkeypatch.setattr(memory, "GROUPS", groups)
    monkeypatch.setattr(memory, "PROCESS", process)
    assert memory.available() == LOW + LOW // 2  # what is left, and the pages of files
