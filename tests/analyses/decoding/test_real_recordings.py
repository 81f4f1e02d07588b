"""One call on real files of every modality that has labels: what is there is found, what is not there is not."""

import numpy as np

import neurointerp as ni
from neurointerp.analyses.decoding import identification, linear, ridge, time_generalisation
from neurointerp.loaders import eeg
from neurointerp.loaders.datasets import dag2023, fernandes2023, haxby2001, ibl2019, schalk2004


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


def test_sounds_and_sights_are_told_by_the_power_of_gradiometers_on_the_other_side(mirror):
    """Four averages of MEG: what tells sounds from sights on the left does so on the right, after they came.

    Two averages to learn from and two to be tested on: that no such thing is found before a stimulus is the only null
    that they allow.
    """
    rec = eeg.load(mirror / "meg/mne_sample/test-ave.fif.gz", modality="meg_grad")
    values = rec.values - rec.sel(time=slice(None, 0)).values.mean(axis=1, keepdims=True)
    pair = np.array([str(unit)[:-1] for unit in rec["unit"].values])
    names = [name for name in dict.fromkeys(pair) if (pair == name).sum() == 2]
    power = np.log(np.stack([(values[:, :, pair == name] ** 2).sum(axis=2) for name in names], axis=2))
    binned = power[:, :420].reshape(4, 35, 12, len(names)).mean(axis=2)  # 20 ms
    side, sense = zip(*[str(name).lower().split() for name in rec["condition"].values], strict=True)
    trials = ni.recording(
        binned, modality="meg", units="1", time=rec["time"].values[:420].reshape(35, 12).mean(axis=1), unit=names,
        dims=("trial", "time", "unit"), coords={"side": ("trial", list(side)), "sense": ("trial", list(sense))},
    )  # fmt: skip
    area = {
        name: float(linear(trials.sel(time=slice(*window)), "sense", by="side", cv=2).auc.mean())
        for name, window in {"before": (-0.2, 0.0), "after": (0.05, 0.25)}.items()
    }
    assert area["after"] > 0.85
    assert area["after"] > area["before"] + 0.15


def test_closed_eyes_are_told_by_alpha_power_at_the_back_of_the_head(mirror):
    parts = []
    for run in (1, 2):
        rec = schalk2004.load(mirror / f"eeg/physionet_eegmmidb/S001R0{run}_first60s.edf", run=run, subject="S001")
        cut = ni.align.epoch(rec.drop_vars("condition"), {"onset": np.arange(0.0, 57.1, 3.0)}, 0.0, 3.0)
        spectrum = np.abs(np.fft.rfft(cut.values - cut.values.mean(axis=1, keepdims=True), axis=1)) ** 2
        frequency = np.fft.rfftfreq(cut.sizes["time"], 1 / cut.attrs["sampling_rate"])
        parts.append(np.log(spectrum[:, (frequency >= 8) & (frequency <= 12)].mean(axis=1)))
    count = len(parts[0])
    coords = {
        "eyes": ("trial", np.repeat(np.array(["open", "closed"], dtype=object), count)),
        "block": ("trial", np.tile(np.arange(count) // 4, 2)),
    }
    alpha = ni.recording(np.concatenate(parts), modality="eeg", units="1", unit=list(cut["unit"].values),
                         dims=("trial", "unit"), coords=coords)  # fmt: skip
    found = linear(alpha, "eyes", by="block", permutations=39)
    assert float(found.balanced_accuracy.mean()) > 0.9
    assert float(found.p_value) == 0.025
    shown = np.abs(found["pattern"].values[0])
    assert str(alpha["unit"].values[shown.argmax()]).startswith(("O", "PO", "P", "Iz"))


def test_a_language_model_of_letters_hands_the_first_letter_on_in_a_code_that_moves(mirror):
    """BabyLlama reads Shakespeare letter by letter; words that were held out are told by their first letter.

    At the letter itself and at the two after it a rule of its own tells vowels from consonants. The rule of one letter
    says nothing at those after it: what is kept is kept in another code.
    """
    models = mirror / "artificial/models"
    rec = fernandes2023.load(
        models / "babyllama_tok105_model5000.bin", tokenizer=models / "babyllama_tok105.vocab",
        text=mirror / "artificial/text/tinyshakespeare.txt", layer=3,
    )  # fmt: skip
    token, segment = rec["token"].values.astype(str), rec["segment"].values
    start = np.flatnonzero(token == fernandes2023.SPACE)
    start = np.array([
        s for s, end in zip(start, [*start[1:], len(token)], strict=True)
        if end - s >= 5 and segment[s] == segment[s + 4] and "".join(token[s + 1 : s + 5]).isalpha()
    ])  # fmt: skip
    word = np.array(["".join(token[s + 1 : s + 5]).lower() for s in start], dtype=object)
    kind = np.array(["vowel" if name[0] in "aeiou" else "consonant" for name in word], dtype=object)
    trials = ni.recording(
        rec.values[start[:, None] + np.arange(1, 5)], modality="activations", units="1", time=np.arange(4),
        dims=("trial", "time", "unit"), unit=list(rec["unit"].values),
        coords={"stimulus": ("trial", word), "first": ("trial", kind)},
    )  # fmt: skip
    each = linear(trials, "first", method="ridge", penalty=100.0, time="each", cv=4, permutations=19)
    assert each["fold"].attrs["split"] == "grouped by stimulus"
    assert (each.p_corrected.values[:3] == 0.05).all()
    square = time_generalisation(trials, "first", cv=4).balanced_accuracy.mean("fold").values
    course = np.diag(square)
    assert course[0] > 0.9
    assert course[1] > 0.7
    assert (np.diff(course) < 0).all()
    assert abs(square[np.triu_indices(4, 1)] - 0.5).max() < 0.1  # rules of a letter, tested at those after it
