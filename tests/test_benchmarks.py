"""The page of benchmarks is made from the rows that are kept, and by the template."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="benchmarks are not installed")


def script(name):
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_rows_that_are_kept():
    kept = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    assert script("run").page(kept) == (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_every_row_has_rounds_enough_and_ratios_of_its_times():
    run = script("run")
    kept = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    assert set(kept) <= set(run.SCRIPTS)
    for row in (row for name, rows in kept.items() if name != "growth" for row in rows):
        assert len(row["ours"]) == len(row["theirs"]) >= 1
        ratios = sorted(b / a for a, b in zip(row["ours"], row["theirs"], strict=True))
        assert ratios[0] <= row["ratio"] <= ratios[-1]


def test_contestants_are_timed_in_turn_and_memory_is_that_of_the_call():
    measure = script("_measure")
    order = []
    times, answers = measure.in_turn({"a": lambda: order.append("a") or 1, "b": lambda: order.append("b") or 2}, 2)
    assert order == ["a", "a", "b", "a", "b"]  # the first once more, untimed
    assert answers == {"a": 1, "b": 2}
    assert [len(taken) for taken in times.values()] == [2, 2]
    if (added := measure.peak(lambda: bytearray(200_000_000))) is not None:
        assert 0.15 < added < 0.3


def test_growth_fits_the_exponent_of_the_upper_half():
    sizes = [10, 100, 1000, 10_000]
    assert script_growth().exponent(sizes, [0.5, 0.5, 10.0, 1000.0]) == pytest.approx(2.0)


def script_growth():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return script("growth")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
