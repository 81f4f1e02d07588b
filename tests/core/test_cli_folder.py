"""Folders of a comparison that was killed: the next run for the same place takes them away, and no living one's."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

import neurointerp as ni
from neurointerp.cli._folder import deliver, staged

posix = pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
PARTIAL = re.compile(r"\.neurointerp\.(\w+)\.[0-9a-f]{8}\.partial")


def partials(folder):
    return {path.name for path in folder.iterdir() if PARTIAL.fullmatch(path.name)}


def started(out):
    """A comparison that has begun, and the name of its folder."""
    before = partials(out.parent)
    arguments = ["compare", "demo-eeg", "demo-spikes", "--workers", "1", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "neurointerp", *arguments], stderr=subprocess.DEVNULL, start_new_session=True
    )
    until = time.monotonic() + 120
    while not (new := partials(out.parent) - before):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    return process, new.pop()


@posix
def test_what_a_killed_comparison_left_goes_with_the_next_and_a_living_one_keeps_its_own(tmp_path):
    out = tmp_path / "found"
    killed, left = started(out)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert partials(tmp_path) == {left}
    (tmp_path / left / "summary.csv").write_text("half of a ta")
    other = tmp_path / ".neurointerp.elsewhere.0123abcd.partial"  # nobody's, but of another place
    other.mkdir()
    living, own = started(out)
    try:
        while left in partials(tmp_path):  # it is taken away before its own is made: this ends at once
            assert living.poll() is None
        with staged(out) as mine:
            assert partials(tmp_path) == {own, mine.name, other.name}
        assert partials(tmp_path) == {own, other.name}
    finally:
        living.send_signal(signal.SIGINT)
        living.wait(60)
    assert [path.name for path in tmp_path.iterdir()] == [other.name]  # no folder, no lock


def test_a_folder_that_was_left_above_a_place_that_is_there_now_goes_too(tmp_path):
    above, inside = tmp_path / ".neurointerp.found.0123abcd.partial", tmp_path / "found"
    above.mkdir()
    (tmp_path / f".{above.name}.lock").write_text("")
    inside.mkdir()
    left = inside / ".neurointerp.found.89abcdef.partial"
    (left / "results.zarr").mkdir(parents=True)
    with staged(inside) as stage:
        assert stage.parent == inside
        assert not above.exists()
        assert not left.exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["found"]
    assert list(inside.iterdir()) == []
    (tmp_path / "file").write_text("")
    for place, what in ((tmp_path / "file", "it"), (tmp_path / "file" / "deep" / "out", "file")):
        with pytest.raises(ni.StoreError, match=f"{what} is a file, not a folder"), staged(place):
            pass


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_to_a_place_that_is_not_there_yet_and_replaced_where_they_are_an_output(tmp_path):
    out, disk, kept = tmp_path / "out", tmp_path / "disk" / "out", tmp_path / "kept"
    out.symlink_to(disk)
    for _ in range(2):  # the second time over what stands in the way: a link to a folder, a file where a folder goes
        with staged(out) as stage:
            for name in ("results.zarr", "figures"):
                (stage / name).mkdir()
            (stage / "summary.csv").write_text("a table")
            deliver(stage, out)
        assert out.is_symlink()
        assert sorted(path.name for path in disk.iterdir()) == ["figures", "results.zarr", "summary.csv"]
        assert (disk / "results.zarr").is_dir()
        assert not (disk / "results.zarr").is_symlink()
        assert (disk / "figures").is_dir()
        if not kept.exists():
            (disk / "results.zarr").rename(kept)
            (kept / "zarr.json").write_text("")
            (disk / "results.zarr").symlink_to(kept)
            (disk / "figures").rmdir()
            (disk / "figures").write_text("")
    assert [path.name for path in kept.iterdir()] == ["zarr.json"]
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for place in (tmp_path / "round", tmp_path / "round" / "deep"):
        with pytest.raises(ni.StoreError, match=r"cannot write to .*round"), staged(place):
            pass
