"""One call on real files of every modality that has labels: what is there is found, what is not there is not."""

import numpy as np

import neurointerp as ni
from neurointerp.analyses.decoding import identification, linear, ridge
from neurointerp.loaders.datasets import dag2023, haxby2001, ibl2019


def test_fmri_of_eight_kinds_of_objects_in_runs_that_were_held_out(mirror):
    folder = mirror / "fmri/pymvpa_bold"
    tree = haxby2001.load_session(folder / "bold.nii.gz", attributes=folder / "attributes_literal.txt")
    cut = ni.align.epoch(tree["recordings/fmri/recording"], tree, 5.0, 25.0).drop_vars("condition")
    blocks = cut.mean("time", keep_attrs=True).rename(event_condition="kind", event_segment="run")
    blocks.attrs.pop("sampling_rate")
    found = linear(blocks, "kind", by="run", cv=12, exchange="run", permutations=19)
    assert found.sizes["fold"] == 12
    assert float(found.balanced_accuracy.mean()) > 4 * float(found.chance)
    assert float(found.p_value) == 0.05
    same = found["confusion"].values.diagonal().sum() / 96
    assert np.isclose(same, found.balanced_accuracy.mean())  # every run shows each kind once


def test_a_worms_velocity_and_reversals_from_its_neurons(mirror):
    tree = dag2023.load_session(mirror / "calcium/flavell_dag2023/2022-07-26-31-data.h5")
    brain, velocity = (tree[f"recordings/{name}/recording"] for name in ("calcium", "velocity"))
    found = ridge(brain, velocity, gap=30, permutations=59)  # 18 s apart; shifted circularly
    assert float(found.p_value[0]) <= 2 / 60
    assert float(found.correlation.mean()) > float(found.chance_interval.sel(bound="high")[0])
    assert float(found.score.mean()) < float(found.correlation.mean())  # the level drifts between blocks, and r2 knows
    back = tree["recordings/reversal_vec/recording"].values[:, 0] > 0
    states = brain.assign_coords(condition=("time", np.where(back, "reversal", "forward").astype(object)))
    told = linear(states, "condition", gap=30, permutations=39)
    assert float(told.balanced_accuracy.mean()) > 0.6
    assert float(told.p_value) == 0.025


def test_made_up_events_are_not_in_the_spikes(mirror):
    """The events of this file are made up, on a grid of 5 s: nothing may be decoded."""
    folder = mirror / "spikes/ibl_alf"
    tree = ibl2019.load_session(
        folder, clusters=folder / "spikes.clusters.npy", events=folder / "events.times.npy",
        groups=folder / "events.groups.npy",
    )  # fmt: skip
    trials = ni.align.epoch(tree["recordings/spikes/recording"], tree, 0.0, 1.0)
    found = linear(trials, "condition", time="features", cv=3, permutations=39)
    assert float(found.p_value) > 0.05


def test_the_sound_that_a_receptor_heard_is_reconstructed_from_its_spikes(mirror):
    folder = mirror / "spikes/nitime_grasshopper"
    sound = np.loadtxt(folder / "grasshopper_stimulus1.txt")  # us and amplitude, 20 kHz
    spikes = np.loadtxt(folder / "grasshopper_spike_times1.txt") * 1e-6
    counts = ni.align.bin_events({"receptor": spikes}, bin_width=0.002, start=0.0, stop=10.0)
    amplitude = sound[:, 1].reshape(-1, 40).mean(axis=1)[:, None]
    heard = ni.recording(amplitude, modality="stimulus", units="1", time=counts["time"].values, unit=["sound"])
    found = ridge(counts, heard, lags=range(0, -16, -1), permutations=39)
    assert float(found.correlation.mean()) > 0.4
    assert float(found.p_value[0]) == 0.025
    power = np.abs(found["weights"].values[0, 0])
    assert 1 <= int(power.argmax()) <= 6  # a spike follows the sound by 2 to 12 ms
    alone = ridge(counts, heard, permutations=0)
    assert float(alone.correlation.mean()) < 0.6 * float(found.correlation.mean())


def test_words_and_their_place_in_a_transformer_layer():
    """Paragraphs that were held out: determiners from prepositions, and how far into the text a token stands."""
    rec = ni.load("demo-activations")
    words = {"the": "determiner", "a": "determiner", "of": "preposition", "in": "preposition", "to": "preposition"}
    kind = np.array([words.get(str(token), "") for token in rec["token"].values], dtype=object)
    some = rec.isel(time=kind != "").drop_vars("segment").assign_coords(kind=("time", kind[kind != ""]))
    some.attrs.pop("sampling_rate")
    found = linear(some, "kind")
    assert found["fold"].attrs["split"] == "grouped by stimulus"
    assert float(found.balanced_accuracy.mean()) > 0.95
    place = ridge(rec, "position", cv=6)
    assert place["fold"].attrs["split"] == "grouped by stimulus"
    assert float(place.correlation.min()) > 0.8


def test_scenes_are_not_told_from_these_neurons(mirror):
    """118 scenes, 212 neurons of mouse V1: luminance, contrast and 20 components of the pictures are not there.

    The prediction of a model that found nothing is the mean of its training set, which lies on the other side of the
    mean of all from what was held out: identification falls below chance.
    """
    tree = ni.load_session("devries2020", mirror=mirror)
    brain = tree["recordings/calcium/recording"]
    images = tree["recordings/scenes/recording"].values.reshape(118, -1)
    ids = {"stimulus": ("trial", brain["stimulus"].values)}
    simple = np.stack([images.mean(axis=1), images.std(axis=1)], axis=1)
    seen = ni.recording(simple, modality="stimulus", units="1", dims=("trial", "unit"), coords=ids)
    assert (ridge(brain, seen, cv=10, permutations=39).p_value > 0.05).all()
    left, size, _ = np.linalg.svd(images - images.mean(axis=0), full_matrices=False)
    scenes = ni.recording(left[:, :20] * size[:20], modality="stimulus", units="1", dims=("trial", "unit"), coords=ids)
    guess = scenes.copy(data=ridge(brain, scenes, cv=10)["prediction"].values)
    assert (identification(guess, scenes, draws=200).accuracy < 0.5).all()
