"""The study of docs/study.md: its tables are what the comparison gives, and its sentences what the tables say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import neurointerp as ni
from neurointerp import report
from neurointerp.analyses import comparison

DOCS = Path(__file__).parents[3] / "docs"
STUDY = DOCS / "studies" / "modalities.yaml"
COMPARED = ["data", "null_mean", "null_sd", "z_score"]
EEG = ["eyes open", "eyes closed", "fists"]
WORMS = ["worm 31", "worm 38", "worm 01"]
MODELS = ["MiniLM reads paragraphs", "BabyLlama reads Alice"]


@pytest.fixture(scope="module")
def study():
    """Give the study file."""
    return yaml.safe_load(STUDY.read_text("utf-8"))


def kept(name):
    """Read a table of the page."""
    return pd.read_csv(DOCS / "studies" / f"{name}.csv")


def recomputed(study, names, mirror=None):
    """Compare some recordings of the study as the study does, and give their rows and those that were kept."""
    recs = {}
    for name in names:
        dataset, _, item = study["recordings"][name]["source"].partition(":")
        recs[name] = ni.load(dataset, item or None, mirror=mirror).rename(name)
    options = {key: study[key] for key in ("units", "samples", "nulls", "seed")} | {"resamples": 0}
    ours = report.table(comparison.compare(recs, **options)).set_index(["recording", "metric"])
    theirs = kept("modalities").set_index(["recording", "metric"]).loc[ours.index]
    return ours[COMPARED], theirs[COMPARED]


def test_the_study_is_five_modalities_and_more_than_twelve_recordings(study):
    table = kept("modalities")
    assert set(table.modality) == {"activations", "spikes", "calcium", "eeg", "fmri"}
    assert list(dict.fromkeys(table.recording)) == list(study["recordings"])
    assert table.recording.nunique() >= 13
    assert (table.status == "ok").all()
    known = ni.datasets()
    assert all(one["source"].partition(":")[0] in known for one in study["recordings"].values())
    scales = yaml.safe_load((STUDY.parent / "scales.yaml").read_text("utf-8"))
    for name, one in scales["recordings"].items():  # of the same names, so that what was kept is found again
        assert study["recordings"][name]["source"] == one["source"]


def test_a_recording_compared_again_gives_its_rows_of_the_table(study):
    ours, theirs = recomputed(study, ["rest, 31 regions"])
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4)


@pytest.mark.slow
def test_recordings_compared_again_give_their_rows_of_the_table(study, mirror):
    names = ["MiniLM reads paragraphs", "worm 31", "rhythms (simulated)", "eyes closed", "mouse probe (IBL)"]
    ours, theirs = recomputed(study, names, mirror)
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4)


def test_the_control_figure_has_no_score(study):
    assert (kept("modalities").query("metric == 'intrinsic_timescale'").z_score == 0).all()


def span(table, names, metric="effective_dimension", columns=("min", "max")):
    """Write the least and greatest of a figure over recordings as the page does."""
    rows = table[table.recording.isin(names) & (table.metric == metric)]
    return f"{rows[columns[0]].min():.1f} to {rows[columns[1]].max():.1f}"


def test_the_sentences_of_the_page_say_what_the_tables_say():
    page = (DOCS / "study.md").read_text("utf-8")
    table, draws, controls, scales = (kept(name) for name in (
        "modalities", "modalities_seeds", "modalities_controls", "scales"))  # fmt: skip
    fmri = list(dict.fromkeys(table[table.modality == "fmri"].recording))
    differenced = controls[controls.control == "differenced"]
    common = controls[controls.control == "common signal removed"]
    one = ("data", "data")
    main = table[table.metric == "effective_dimension"].set_index("recording")
    groups = scales.set_index("metric")
    means = groups.loc["effective_dimension"]
    for sentence in (
        f"effective dimension of {span(draws, EEG)} over eight draws",
        f"one resting brain in fMRI, {span(draws, ['rest, 94 regions (1)'])}",
        f"between {span(draws, MODELS).replace(' to ', ' and ')} of 30",
        f"a mouse between {span(draws, ['mouse probe (IBL)']).replace(' to ', ' and ')}",
        f"Three worms lie between {span(draws, WORMS).replace(' to ', ' and ')}",
        f"four brains in fMRI between {span(draws, fmri).replace(' to ', ' and ')}",
        f"has {main.data['worm 31']:.1f} where its null has {main.null_mean['worm 31']:.1f}",
        f"of {means.iloc[0]:.1f} and {means.iloc[1]:.1f} on average, p = {means.group_p:.2f}; over twelve figures",
        f"the least q is {groups.group_q.min():.2f}",
        f"the zebrafish goes from {span(draws, ['zebrafish tectum'])}",
        f"EEG has {span(differenced, EEG, columns=one)} and the resting brains "
        f"{span(differenced, ['rest, 94 regions (1)', 'rest, 94 regions (2)'], columns=one)}",
        f"The worms go up to {span(differenced, WORMS, columns=one)}",
        f"EEG still has {span(common, EEG, columns=one)}",
        f"goes from {main.data['rest, 94 regions (1)']:.1f} to "
        f"{span(common, ['rest, 94 regions (1)'], columns=one).partition(' ')[0]}:",
        f"({main.data['mouse probe (IBL)']:.1f} becomes {span(common, ['mouse probe (IBL)'], columns=one)[:4]})",
        f"reaches {main.data['rhythms (simulated)']:.1f}",
    ):
        assert sentence in page, sentence
    assert groups.group_q.notna().sum() == 12
    z = main.z_score
    assert (z[[*MODELS, "mouse probe (IBL)"]] <= -10).all()
    assert (z.drop("worm 31") <= -5).all()
    assert z["worm 31"] > -2
    slow = differenced[differenced.metric == "effective_dimension"].set_index("recording").z_score
    assert (slow[WORMS] <= -8).all()
    assert (slow[["zebrafish tectum", "ensembles (simulated)"]].abs() < 1).all()
