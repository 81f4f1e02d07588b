"""Worms on the common order and clock: names, resampling, round trip and stacking."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter1d

import neurointerp as ni
from neurointerp.loaders.datasets import atanas2023, worm_neurons, worm_traces

TARGETS = (0.2, 1 / 3, 0.5, 0.7, 1.0)


class TestNames:
    def test_the_order_is_that_of_the_sorted_names(self, mirror):
        table = pd.read_csv(mirror / "connectome/connectome_neurons.csv", keep_default_na=False)
        assert len(worm_neurons.order(302)) == 302
        assert list(worm_neurons.order(302)) == sorted(worm_neurons.order(302))
        assert set(worm_neurons.order(302)) - set(worm_neurons.order(300)) == {"CANL", "CANR"}
        known = {worm_neurons.canonical(name): row for name, *row in table.itertuples(index=False)}
        for name, neuron in worm_neurons.neurons().items():
            assert neuron.cell_class == known[name][0]
            assert neuron.hemisphere == known[name][5].upper()

    def test_every_type_and_class(self):
        found = pd.DataFrame(worm_neurons.neurons().values())
        assert dict(found.cell_type.value_counts()) == {
            "motor": 116, "sensory": 83, "interneuron": 81, "pharyngeal": 20, "unknown": 2,
        }  # fmt: skip
        assert found.cell_class.nunique() == 118
        assert dict(found.hemisphere.value_counts()) == {"": 104, "L": 99, "R": 99}

    @pytest.mark.parametrize(
        ("label", "name"),
        [("VB02", "VB2"), ("VA10", "VA10"), ("VD1", "VD1"), ("AWCON", "AWCR"), ("AWCOFF", "AWCL"), ("AWCOF", "AWCL"),
         (" AVAL ", "AVAL"), ("AVA", ""), ("SIA?L", ""), ("17", ""), ("", ""), ("BWM-DL01", ""), ("AVALR", "")],
    )  # fmt: skip
    def test_canonical(self, label, name):
        assert worm_neurons.canonical(label) == name

    @pytest.mark.parametrize(
        ("label", "names"),
        [("SIA?L", ("SIADL", "SIAVL")), ("SAAD?", ("SAADL", "SAADR")), ("AWA", ("AWAL", "AWAR")), ("AVAL?", ("AVAL",)),
         ("RMED/RID", ("RID", "RMED")), ("VB1?", ("VB1", "VB10", "VB11")), ("??", ()), ("17", ()), ("VB02", ("VB2",))],
    )  # fmt: skip
    def test_candidates(self, label, names):
        assert worm_neurons.candidates(label) == names

    def test_every_label_of_a_real_list_means_something(self, mirror):
        for label in (mirror / "calcium/wormwideweb_json/neuron_list.txt").read_text().split():
            assert worm_neurons.canonical(label) or len(worm_neurons.candidates(label)) == 2, label

    def test_unknown_orders(self):
        with pytest.raises(ni.LoaderError, match="there is no common order of 299 neurons; it has 300, or 302"):
            worm_neurons.order(299)


def waves(time, frequencies=(0.013, 0.04, 0.07, 0.095)):
    return np.stack([np.sin(2 * np.pi * f * time + f) + np.cos(2 * np.pi * f / 3 * time) for f in frequencies], axis=1)


def jittered(step, span=240.0):
    rng = np.random.default_rng(round(step * 100))
    time = np.concatenate([[0.0], np.cumsum(step * (1 + 0.2 * rng.uniform(-1, 1, round(span / step))))])
    return time


class TestResampling:
    @pytest.mark.parametrize("step", [0.25, 0.4, 0.6, 0.7])
    def test_slow_signals_survive(self, step):
        """Within 5 % of the signal, and at least twice as near as the nearest neighbour."""
        time = jittered(step)
        clock, values = worm_traces.resampled(waves(time), time, 1 / 3)
        truth = waves(clock)
        nearest = waves(time[np.abs(clock[:, None] - time).argmin(axis=1)])
        error, naive = (np.sqrt(((x - truth) ** 2).mean(axis=0)) / truth.std(axis=0) for x in (values, nearest))
        assert error.max() <= 0.05
        assert (naive >= 2 * error).all()

    @pytest.mark.parametrize("step", [0.05, 0.25, 0.6])
    @pytest.mark.parametrize("target", TARGETS)
    def test_the_clock_asked_for_is_produced_and_stored(self, step, target):
        time = jittered(step)
        rec = ni.recording(waves(time), modality="calcium", units="1", time=time)
        out = worm_traces.homogenise(rec, target_dt=target)
        assert np.abs(np.diff(out.time) - out.attrs["dt"]).max() < 1e-6
        assert out.attrs["dt"] == target
        assert out.attrs["sampling_rate"] == pytest.approx(1 / target)
        assert out.attrs["original_dt"] == np.median(np.diff(time))
        assert out.time.values[0] == 0.0
        assert time[-1] - target < out.time.values[-1] <= time[-1]

    def test_fast_recordings_are_averaged_and_slow_ones_are_not(self):
        rng = np.random.default_rng(0)
        time = np.arange(6001) * 0.02
        _, values = worm_traces.resampled(rng.normal(size=(6001, 1)), time, 1.0)
        assert values[1:-1].std() < 0.45
        slow = np.arange(60) * 2.0
        noise = rng.normal(size=(60, 1))
        _, kept = worm_traces.resampled(noise, slow, 1.0)
        np.testing.assert_allclose(kept[::2], noise)
        np.testing.assert_allclose(kept[1::2], (noise[1:] + noise[:-1]) / 2)

    def test_an_average_is_centred_on_its_stamp(self):
        time = np.arange(201) * 0.05
        clock, values = worm_traces.resampled(time[:, None] * 2.0, time, 0.7)
        np.testing.assert_allclose(values[:, 0], 2 * clock, atol=1e-12)

    def test_missing_values_stay_missing_and_segments_stay_apart(self):
        values = np.arange(8.0)[:, None] * [1.0, 1.0]
        values[2, 1] = np.nan
        time = np.array([0.0, 1, 2, 3, 90, 91, 92, 93])
        rec = ni.recording(values, modality="calcium", units="1", time=time, unit=["AVAL", "AVAR"],
                           coords={"segment": ("time", np.repeat([0, 1], 4))})  # fmt: skip
        out = worm_traces.homogenise(rec, target_dt=0.5)
        np.testing.assert_allclose(out.time, [*np.arange(7) / 2, *(90 + np.arange(7) / 2)])
        np.testing.assert_array_equal(out.segment, [0] * 7 + [1] * 7)
        missing = np.isnan(out.sel(unit="AVAR").values)
        np.testing.assert_array_equal(out.time[missing], [1.5, 2.0, 2.5])
        assert not np.isnan(out.sel(unit="AVAL")).any()
        assert out.attrs["history"][-1]["parameters"]["missing"] == 1


class TestCopies:
    def test_against_scipy_and_numpy(self):
        rng = np.random.default_rng(3)
        values = rng.normal(size=(200, 2)).cumsum(axis=0)
        rec = ni.recording(values, modality="calcium", units="1", sampling_rate=2.0, unit=["AVAL", "9"])
        done = worm_traces.copies(rec, target_dt=0.5)
        scaled = (values - values.mean(axis=0)) / values.std(axis=0)
        slope = np.gradient(scaled, 0.5, axis=0)
        for name, wanted in {
            "calcium": scaled, "residual": slope,
            "calcium_smooth": gaussian_filter1d(scaled, 3, axis=0),
            "residual_smooth": gaussian_filter1d(slope, 3, axis=0),
        }.items():  # fmt: skip
            np.testing.assert_allclose(done[name].sel(unit=["AVAL", "u000"]), wanted, atol=1e-10, err_msg=name)
            assert done[name].attrs["units"] == ("1/s" if "residual" in name else "1")
        assert done["original"].identical(rec)

    def test_other_smoothers(self):
        rec = ni.recording(np.random.default_rng(0).normal(size=(80, 1)), modality="calcium", units="1",
                           sampling_rate=2.0, unit=["AVAL"])  # fmt: skip
        scaled = ((rec - rec.mean()) / rec.std()).values[:, 0]
        moving = worm_traces.copies(rec, target_dt=0.5, smoother="moving_average")["calcium_smooth"].sel(unit="AVAL")
        np.testing.assert_allclose(moving[30], scaled[20:41].mean())
        slow = worm_traces.copies(rec, target_dt=0.5, smoother="exponential")["calcium_smooth"].sel(unit="AVAL").values
        expected = scaled[0]
        for sample in scaled[1:20]:
            expected = 0.1 * sample + 0.9 * expected
        np.testing.assert_allclose(slow[19], expected)
        with pytest.raises(ni.LoaderError, match="no smoother 'box'; there are gaussian, moving_average, exponential"):
            worm_traces.copies(rec, smoother="box")

    def test_constant_and_empty_traces(self):
        values = np.stack([np.full(20, 7.3), np.full(20, np.nan)], axis=1)
        rec = ni.recording(values, modality="calcium", units="1", sampling_rate=2.0, unit=["AVAL", "AVAR"])
        out = worm_traces.homogenise(rec)
        assert (out.sel(unit="AVAL") == 0).all()
        assert out.sel(unit="AVAR").isnull().all()

    def test_wrong_input(self):
        frames = ni.recording(np.eye(3), modality="calcium", units="1", time=np.arange(3))
        with pytest.raises(ni.LoaderError, match=r"\(time, unit\) in seconds are needed"):
            worm_traces.homogenise(frames)
        rec = ni.recording(np.eye(3), modality="calcium", units="1", sampling_rate=1.0)
        with pytest.raises(ni.LoaderError, match="target_dt is 0: a positive number of seconds"):
            worm_traces.homogenise(rec, target_dt=0)
        with pytest.raises(ni.LoaderError, match="a segment has 1 samples: two are needed"):
            worm_traces.homogenise(rec[:1])


def write(path, labels, seed, step=0.6, frames=300):
    """Write a WormWideWeb worm with labels at chosen places."""
    rng = np.random.default_rng(seed)
    time = 5.0 + step * np.arange(frames)
    traces = waves(time - 5.0, rng.uniform(0.005, 0.05, 6)).T
    labeled = {str(place + 1): {"label": label} for place, label in labels.items()}
    path.write_text(
        json.dumps({"trace_array": traces.tolist(), "timestamp_confocal": time.tolist(), "labeled": labeled})
    )
    return traces, time - 5.0


def test_two_worms_round_trip_and_stack(tmp_path):
    """Labelled values identical, NaN pattern exact, unlabelled traces never on a name."""
    labels = {"a": {0: "AVAL", 2: "VB02", 4: "SIA?L", 5: "AVAL"}, "b": {1: "AVAL", 3: "AVAR", 0: "RMED/RID"}}
    planted = {"a": {"AVAL": 0, "VB2": 2}, "b": {"AVAL": 1, "AVAR": 3}}
    stacked = {}
    for seed, name in enumerate(labels):
        traces, time = write(tmp_path / f"{name}.json", labels[name], seed, frames=300 + 20 * seed)
        rec = atanas2023.load(tmp_path / f"{name}.json", homogenised=True, target_dt=0.5)
        ni.save(rec, tmp_path / f"{name}.zarr")
        back = ni.open(tmp_path / f"{name}.zarr").load()
        assert back.identical(rec)
        scaled = (traces - traces.mean(axis=1, keepdims=True)) / traces.std(axis=1, keepdims=True)
        for neuron, place in planted[name].items():
            np.testing.assert_allclose(back.sel(unit=neuron), np.interp(back.time, time, scaled[place]), atol=1e-12)
            assert int(back.sel(unit=neuron).column) == place
        named = back.isel(unit=np.flatnonzero(back.is_labeled))
        assert tuple(named.unit.values) == worm_neurons.order(300)
        assert set(named.unit.values[named.notnull().any("time")]) == set(planted[name])
        loose = back.isel(unit=np.flatnonzero(~back.is_labeled.values))
        assert not loose.isnull().any()
        assert not any(worm_neurons.canonical(str(unit)) for unit in loose.unit.values)
        assert loose.sizes["unit"] == 4
        stacked[name] = named.drop_vars(["label", "candidates", "column"])
    view = xr.concat(stacked.values(), pd.Index(list(stacked), name="subject"), join="outer", coords="minimal",
                     compat="override", combine_attrs="drop_conflicts")  # fmt: skip
    assert view.dims == ("subject", "time", "unit")
    for name, rec in stacked.items():
        np.testing.assert_array_equal(view.sel(subject=name, time=rec.time.values), rec)
        assert view.sel(subject=name).isel(time=slice(rec.sizes["time"], None)).isnull().all()
    assert atanas2023.load(tmp_path / "a.json").attrs["history"][-1]["parameters"]["repeated_labels"] == ["AVAL"]
    kept = atanas2023.load(tmp_path / "a.json", homogenised=True).sel(unit="u002")
    assert (str(kept.label.values), str(kept.candidates.values)) == ("SIA?L", "SIADL,SIAVL")


class TestTheStepsInTheirOrder:
    """The steps of the pipeline, against the formulas written out here."""

    def recording(self, step=0.6, jitter=0.0, frames=300, neurons=("AVAL", "VB02", "?", "AVAR")):
        rng = np.random.default_rng(5)
        time = 2.0 + np.concatenate([[0.0], np.cumsum(step * (1 + jitter * rng.uniform(-1, 1, frames - 1)))])
        values = waves(time, (0.02, 0.031, 0.045, 0.06)) * [1, 20, 0.3, 4] + [100, -3, 0, 7]
        return worm_traces.worm(values, time, neurons, function="made", attrs={"source": "raw.mat"}), values

    def test_missing_values_are_neither_imputed_nor_counted_in_the_scale(self):
        rec, values = self.recording()
        holed = rec.copy(data=np.where(np.arange(300)[:, None] % 50 < [0, 3, 0, 0], np.nan, values))
        out = worm_traces.normalised(holed.values)
        kept = np.isfinite(holed.values[:, 1])
        np.testing.assert_allclose(out[kept, 1], (values[kept, 1] - values[kept, 1].mean()) / values[kept, 1].std())
        assert np.isnan(out[~kept, 1]).all()
        done = worm_traces.copies(holed, target_dt=0.6)
        for name in ("calcium", "calcium_smooth"):
            missing = done[name].sel(unit="VB2").isnull().values
            assert 0 < missing.sum() <= 2 * (~kept).sum()
            assert not done[name].sel(unit="AVAL").isnull().any()

    def test_each_worm_is_scaled_by_itself(self):
        rec, _ = self.recording()
        alone = worm_traces.homogenise(rec)
        brighter = worm_traces.homogenise(rec.copy(data=rec.values * 50 + 1000))
        np.testing.assert_allclose(brighter, alone, atol=1e-9)

    def test_the_residual_is_the_published_formula_on_a_regular_clock(self):
        rec, values = self.recording(step=0.5)
        scaled = (values - values.mean(axis=0)) / values.std(axis=0)
        published = np.gradient(scaled, axis=0) / np.gradient(rec.time.values)[:, None]
        np.testing.assert_allclose(
            worm_traces.copies(rec, target_dt=0.5)["residual"].sel(unit=["AVAL", "VB2", "AVAR"]),
            published[:, [0, 1, 3]], atol=1e-9,
        )  # fmt: skip

    def test_and_nearer_to_the_derivative_on_an_irregular_one(self):
        rec, values = self.recording(jitter=0.6)
        time = rec.time.values + 2.0
        step = 1e-5
        truth = (waves(time + step, (0.02,)) - waves(time - step, (0.02,)))[:, 0] / (2 * step) / values[:, 0].std()
        scaled = ((values - values.mean(axis=0)) / values.std(axis=0))[:, 0]
        ours = np.gradient(scaled, time)
        published = np.gradient(scaled) / np.gradient(time)
        clock, resampled = worm_traces.resampled(ours[:, None], rec.time.values, 1 / 3)
        out = worm_traces.copies(rec, target_dt=1 / 3)["residual"].sel(unit="AVAL")
        np.testing.assert_allclose(out, resampled[:, 0])
        np.testing.assert_allclose(out.time, clock)
        assert np.abs(ours - truth)[1:-1].mean() < 0.5 * np.abs(published - truth)[1:-1].mean()

    def test_smoothing_comes_before_resampling_and_leaves_the_raw_copy_alone(self):
        rec, values = self.recording()
        scaled = (values - values.mean(axis=0)) / values.std(axis=0)
        done = worm_traces.copies(rec, target_dt=1 / 3)
        _, wanted = worm_traces.resampled(gaussian_filter1d(scaled, 3, axis=0), rec.time.values, 1 / 3)
        np.testing.assert_allclose(done["calcium_smooth"].sel(unit=["AVAL", "VB2"]), wanted[:, :2])
        assert done["calcium"].identical(worm_traces.homogenise(rec, target_dt=1 / 3))
        assert done["calcium_smooth"].attrs["smoother"] == "gaussian"
        assert "smoother" not in done["calcium"].attrs

    def test_the_original_stays_beside_the_resampled_through_the_store(self, tmp_path):
        rec, values = self.recording()
        tree = ni.session(worm_traces.copies(rec, target_dt=0.5))
        back = ni.open(ni.save(tree, tmp_path / "worm.zarr"))
        original = back["recordings/original/recording"]
        np.testing.assert_array_equal(original, values)
        np.testing.assert_allclose(np.diff(original.time), 0.6)
        calcium = back["recordings/calcium/recording"]
        assert calcium.attrs["dt"] == 0.5
        assert calcium.attrs["original_dt"] == pytest.approx(0.6)
        assert [calcium.attrs["labeled"], calcium.attrs["unlabeled"]] == [3, 1]

    @pytest.mark.parametrize("target", TARGETS)
    @pytest.mark.parametrize("step", [0.1, 0.3, 0.35, 0.7])
    def test_every_kind_of_trace_has_the_clock_that_is_stored(self, step, target):
        rec, _ = self.recording(step=step, jitter=0.2)
        for name, out in worm_traces.copies(rec, target_dt=target).items():
            if name != "original":
                assert np.abs(np.diff(out.time) - out.attrs["dt"]).max() < 1e-6, name
                assert out.attrs["sampling_rate"] == pytest.approx(1 / out.attrs["dt"]), name

    def test_a_label_that_the_file_calls_uncertain_fills_no_slot(self):
        rec, _ = self.recording()
        doubtful = rec.assign_coords(is_labeled=("unit", [False, True, False, True]))
        out = worm_traces.homogenise(doubtful)
        assert out.sel(unit="AVAL").isnull().all()
        loose = out.isel(unit=np.flatnonzero(~out.is_labeled.values))
        assert list(loose.label.values) == ["AVAL", "?"]
        assert list(loose.candidates.values) == ["AVAL", ""]

    def test_more_unlabelled_traces_than_free_names(self):
        rec = worm_traces.worm(
            np.random.default_rng(0).normal(size=(20, 350)), np.arange(20.0), [""] * 350, function="made", attrs={}
        )
        out = worm_traces.homogenise(rec)
        assert out.sizes["unit"] == 650
        assert out.isel(unit=slice(None, 300)).isnull().all()
        assert out.isel(unit=slice(300, None)).notnull().all()
