"""How often verdicts are right: the table of docs/comparison.md is what was measured, and what is measured again."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def power():
    """Give the script that measures."""
    spec = importlib.util.spec_from_file_location("make_power", DOCS / "make_power.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kept():
    return pd.read_csv(DOCS / "studies" / "power.csv")


def test_the_table_of_the_page_counts_the_verdicts_that_were_kept(power, kept):
    assert power.written(kept) == (DOCS / "studies" / "power.md").read_text("utf-8")
    assert "studies/power.md" in (DOCS / "comparison.md").read_text("utf-8")
    sizes = kept.groupby(["units", "samples"])["set"].nunique()
    assert tuple(sizes.index) == power.SIZES
    assert sizes.nunique() == 1  # as many sets at every size
    for row in kept.itertuples():
        one, other, right, _ = power.QUESTIONS[row.question]
        assert row.right == (row.verdict in right)
        # the verdict is what the two numbers say
        told = "within chance" if row.excess <= 1 else power.SAME[1] if row.explained <= 1 else power.BEYOND
        assert row.verdict == told, (one, other)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_two_points_of_it_are_measured_again(power, kept, number):
    """Verdicts are the same where neither number lies within a tenth of 1, the bound that decides."""
    units, samples = power.SIZES[0]
    fresh = power.verdicts(number, units, samples).set_index("question")
    held = kept[(kept.units == units) & (kept.samples == samples) & (kept.set == number)].set_index("question")
    assert list(fresh.index) == list(held.index)
    for question, row in fresh.iterrows():
        assert row.excess == pytest.approx(held.excess[question], rel=0.1)
        if min(abs(held.excess[question] - 1), abs(held.explained[question] - 1)) > 0.1:
            assert row.verdict == held.verdict[question]
