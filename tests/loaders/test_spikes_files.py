"""Spike files: every one of the mirror against an independent reading, tables, text, phy folders, bad input."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurointerp as ni
from neurointerp.loaders import spikes

MIRROR = [
    # folder or file, options, units, first label, spikes, spikes of the busiest unit, seconds of the last spike
    ("ibl_alf", {}, 289, "c0", 124_905, 3_701, 119.99885),
    ("phy_template", {"sampling_rate": 25_000.0}, 62, "c0", 314, 13, 11.93612),
    ("pynapple_nwb/A8604-211122.nwb", {}, 3, "unit6", 21_354, 11_020, 1087.35283),
    (
        "nitime_grasshopper/grasshopper_spike_times1.txt",
        {"time_units": "us"},
        1,
        "grasshopper_spike_times1",
        929,
        929,
        9.9993,
    ),
]


@pytest.mark.parametrize(("path", "options", "units", "label", "total", "busiest", "last"), MIRROR)
def test_table_of_the_mirror(mirror, path, options, units, label, total, busiest, last):
    source = mirror / "spikes" / path
    tree = spikes.load_session(source, bin_width=0.01, **options)
    rec, kept = tree["recordings/spikes/recording"], tree["structure/spike_times/structure"]
    assert (rec.sizes["unit"], str(rec["unit"].values[0])) == (units, label)
    assert (int(rec.sum()), int(rec.sum("time").max()), kept.size) == (total, busiest, total)
    assert (rec.attrs["units"], rec.attrs["sampling_rate"], rec.dtype) == ("1", 100.0, np.int64)
    assert float(kept.max()) == pytest.approx(last, abs=1e-4)
    assert (kept.attrs["units"], kept.dtype) == ("s", np.float64)


def test_grasshopper_against_numpy(mirror):
    path = mirror / "spikes/nitime_grasshopper/grasshopper_spike_times1.txt"
    rec = spikes.load(path, bin_width=0.05, time_units="us")
    whole = np.loadtxt(path).astype(np.int64)
    np.testing.assert_array_equal(rec.values[:, 0], np.bincount(whole // 50_000))
    with pytest.raises(ni.LoaderError, match=r"times1\.txt: does not state the units of its times; pass time_units="):
        spikes.load(path, bin_width=0.05)


class TestPhy:
    def test_samples_groups_and_positions(self, mirror):
        folder = mirror / "spikes/phy_template"
        tree = spikes.load_session(folder, bin_width=0.1, sampling_rate=25_000.0)
        rec, kept = tree["recordings/spikes/recording"], tree["structure/spike_times/structure"]
        samples, clusters = (np.load(folder / f"spike_{name}.npy")[:, 0] for name in ("times", "clusters"))
        for cluster in np.unique(clusters):
            mine = kept[kept["spike_unit"].values == f"c{cluster}"]
            np.testing.assert_array_equal(mine["spike_sample"], samples[clusters == cluster])
            np.testing.assert_array_equal(mine, samples[clusters == cluster] / 25_000)
            assert int(rec.sel(unit=f"c{cluster}").sum()) == (clusters == cluster).sum()
        assert kept["spike_sample"].dtype == np.int64
        assert kept.attrs["sampling_rate"] == 25_000.0
        assert rec["unit"].values[rec["group"].values == "good"].tolist() == ["c4"]
        assert set(rec["group"].values) == {"good", "unsorted"}

    def test_peak_channel_is_that_of_the_unwhitened_template(self, mirror):
        folder = mirror / "spikes/phy_template"
        tree = spikes.load_session(folder, bin_width=0.1, sampling_rate=25_000.0)
        rec, templates = tree["recordings/spikes/recording"], tree["structure/templates/structure"]
        raw, whitening = np.load(folder / "templates.npy"), np.load(folder / "whitening_mat.npy")
        positions, channels = np.load(folder / "channel_positions.npy"), np.load(folder / "channel_map.npy")[:, 0]
        for cluster in (0, 4, 63):
            expected = np.linalg.solve(whitening.T, raw[cluster].astype(float).T).T
            np.testing.assert_allclose(templates.sel(unit=f"c{cluster}"), expected, rtol=1e-6, atol=1e-9)
            peak = (expected.max(axis=0) - expected.min(axis=0)).argmax()
            unit = rec.sel(unit=f"c{cluster}")
            np.testing.assert_allclose([unit["x"], unit["y"]], positions[peak] * 1e-6)
            assert int(unit["channel"]) == channels[peak]
        assert rec["x"].attrs["units"] == "m"

    def test_without_templates(self, mirror, tmp_path):
        for name in ("spike_times.npy", "spike_clusters.npy"):
            np.save(tmp_path / name, np.load(mirror / "spikes/phy_template" / name))
        rec = spikes.load(tmp_path, bin_width=0.1, sampling_rate=25_000.0)
        assert set(rec.coords) == {"time", "unit", "index", "group"}
        assert set(rec["group"].values) == {"unsorted"}
        assert rec.attrs["history"][-1]["parameters"]["templates"] == "absent"
        full = spikes.load(mirror / "spikes/phy_template", bin_width=0.1, sampling_rate=25_000.0)
        np.testing.assert_array_equal(rec, full)

    def test_params_is_read_as_text_and_never_run(self, tmp_path):
        phy(tmp_path)
        canary = tmp_path / "ran"
        code = f"open({str(canary)!r}, 'w')\nraise SystemExit\nsample_rate = 20_000.  # Hz\nhp_filtered = True\n"
        (tmp_path / "params.py").write_text(code)
        tree = spikes.load_session(tmp_path, bin_width=0.1)
        assert tree["structure/spike_times/structure"].attrs["sampling_rate"] == 20_000.0
        assert not canary.exists()
        with pytest.raises(ni.LoaderError, match="states sample_rate 20000, sampling_rate=30000 was given"):
            spikes.load(tmp_path, bin_width=0.1, sampling_rate=30_000.0)
        (tmp_path / "params.py").write_text("sample_rate = float(open('rate').read())\n")
        with pytest.raises(ni.LoaderError, match=r"no params\.py states a literal sample_rate; pass sampling_rate="):
            spikes.load(tmp_path, bin_width=0.1)

    def test_metrics_of_single_files_come_before_the_summary(self, tmp_path):
        phy(tmp_path)
        pd.DataFrame({"cluster_id": [7, 2, 9], "group": ["mua", "good", "noise"]}).to_csv(
            tmp_path / "cluster_group.tsv", sep="\t", index=False
        )
        pd.DataFrame({"cluster_id": [2, 7], "group": ["good", "good"], "depth": [20.0, 40.0]}).to_csv(
            tmp_path / "cluster_info.tsv", sep="\t", index=False
        )
        pd.DataFrame({"cluster_id": [7], "isi_viol": [0.25], "time": [1]}).to_csv(tmp_path / "metrics.csv")
        rec = spikes.load(tmp_path, bin_width=0.1, sampling_rate=1_000.0)
        assert rec["unit"].values.tolist() == ["c2", "c7"]
        assert rec["group"].values.tolist() == ["good", "mua"]
        np.testing.assert_array_equal(rec["isi_viol"], [np.nan, 0.25])
        np.testing.assert_array_equal(rec["depth"], [20.0, 40.0])
        said = rec.attrs["history"][-1]["parameters"]
        assert said["columns_in_conflict"] == ["cluster_info.tsv:group"]
        assert said["clusters_without_spikes_left_out"] == [9]

    def test_merged_clusters_and_sparse_templates(self, tmp_path):
        phy(tmp_path)
        np.save(tmp_path / "spike_templates.npy", np.array([0, 1, 1, 1, 0]))
        templates = np.zeros((2, 3, 2), dtype=np.float32)
        templates[0, :, 0], templates[1, :, 1] = [0, -4, 2], [0, -8, 4]
        np.save(tmp_path / "templates.npy", templates)
        np.save(tmp_path / "templates_ind.npy", np.array([[3, -1], [3, 1]]))
        np.save(tmp_path / "channel_map.npy", np.arange(4) + 10)
        np.save(tmp_path / "channel_positions.npy", np.array([[0, 0], [0, 20], [0, 40], [16, 60]]))
        tree = spikes.load_session(tmp_path, bin_width=0.1, sampling_rate=1_000.0)
        rec, mean = tree["recordings/spikes/recording"], tree["structure/templates/structure"]
        # cluster 2 holds spikes of templates 0 and 1, cluster 7 those of 1, 1 and 0
        np.testing.assert_allclose(mean.sel(unit="c2")[:, 3], [0, -2, 1])
        np.testing.assert_allclose(mean.sel(unit="c7")[:, 1], np.array([0, -8, 4]) * 2 / 3, atol=1e-12)
        assert rec["channel"].values.tolist() == [11, 11]
        np.testing.assert_allclose(rec["trough_to_peak"], [0.001, 0.001])
        assert rec.attrs["history"][-1]["parameters"]["templates"] == "whitened"

    def test_what_does_not_fit(self, tmp_path):
        phy(tmp_path)
        np.save(tmp_path / "templates.npy", np.zeros((3, 4, 2)))
        np.save(tmp_path / "spike_templates.npy", np.array([0, 1, 5, 1, 0]))
        with pytest.raises(ni.LoaderError, match=r"spike_templates\.npy does not fit the 3 templates and 5 spikes"):
            spikes.load(tmp_path, bin_width=0.1, sampling_rate=1_000.0)
        np.save(tmp_path / "spike_times.npy", np.linspace(0, 1, 5))
        with pytest.raises(ni.LoaderError, match=r"spike_times\.npy: samples are whole numbers, found float64"):
            spikes.load(tmp_path, bin_width=0.1, sampling_rate=1_000.0)
        phy(tmp_path)
        (tmp_path / "templates.npy").unlink()
        with pytest.raises(ni.LoaderError, match=r"sampling_rate \(Hz\) is -1.0: a positive number is needed"):
            spikes.load(tmp_path, bin_width=0.1, sampling_rate=-1.0)
        np.save(tmp_path / "spike_clusters.npy", np.array([None] * 5))
        with pytest.raises(ni.LoaderError, match="Object arrays cannot be loaded"):
            spikes.load(tmp_path, bin_width=0.1, sampling_rate=1_000.0)


def phy(folder):
    np.save(folder / "spike_times.npy", np.array([10, 30, 55, 70, 990], dtype=np.uint64))
    np.save(folder / "spike_clusters.npy", np.array([2, 2, 7, 7, 7]))


class TestTables:
    def test_csv_with_declared_columns(self, tmp_path):
        table = pd.DataFrame({"t": [20.0, 5.0, 7.5, 30.0], "cell": ["b", "a", "b", "a"], "depth": 1})
        table.to_csv(tmp_path / "spikes.csv", index=False)
        columns = {"time": "t", "unit": "cell"}
        rec = spikes.load(tmp_path / "spikes.csv", bin_width=0.01, columns=columns, time_units="ms")
        assert rec["unit"].values.tolist() == ["a", "b"]
        np.testing.assert_array_equal(rec, [[1, 1], [0, 0], [0, 1], [1, 0]])
        with pytest.raises(ni.LoaderError, match="has no column 'time'; it has t, cell, depth"):
            spikes.load(tmp_path / "spikes.csv", bin_width=0.01, columns={"time": "time", "unit": "cell"})
        with pytest.raises(ni.LoaderError, match="pass columns="):
            spikes.load(tmp_path / "spikes.csv", bin_width=0.01, time_units="ms")
        with pytest.raises(ni.LoaderError, match="pass time_units="):
            spikes.load(tmp_path / "spikes.csv", bin_width=0.01, columns=columns)

    def test_ascii_file_of_nest(self, tmp_path):
        text = "# NEST version: 3.8\n# RecordingBackendASCII version: 2\nsender\ttime_ms\n12\t1.5\n3\t0.5\n12\t0.7\n"
        (tmp_path / "recorder-15-0.dat").write_text(text)
        columns = {"time": "time_ms", "unit": "sender"}
        rec = spikes.load(tmp_path / "recorder-15-0.dat", bin_width=0.001, columns=columns, time_units="ms")
        assert rec["unit"].values.tolist() == ["3", "12"]
        np.testing.assert_array_equal(rec, [[1, 1], [0, 1]])

    def test_missing_entries_are_counted(self, tmp_path):
        columns = {"time": "t", "unit": "cell"}
        pd.DataFrame({"t": [1.0, np.nan, 2.0], "cell": ["a", "a", "b"]}).to_csv(tmp_path / "a.csv")
        with pytest.raises(ni.LoaderError, match="unit 'a' has 1 times that are not finite"):
            spikes.load(tmp_path / "a.csv", bin_width=1.0, columns=columns, time_units="s")
        pd.DataFrame({"t": [1.0, 3.0, 2.0], "cell": ["a", None, None]}).to_csv(tmp_path / "b.csv")
        with pytest.raises(ni.LoaderError, match="2 spikes name no unit in column 'cell'"):
            spikes.load(tmp_path / "b.csv", bin_width=1.0, columns=columns, time_units="s")

    def test_whole_samples_stay_whole(self, tmp_path):
        big = 2**53 // 30_000 * 30_000 + 1  # its neighbour is the same number as float32, not as int64
        tree = spikes.load_session(
            {"a": np.array([big, 5], dtype=np.int64)},
            bin_width=1e9,
            stop=1e12,
            time_units="samples",
            sampling_rate=30_000.0,
        )
        kept = tree["structure/spike_times/structure"]
        assert kept["spike_sample"].values.tolist() == [5, big]
        assert kept.values.tolist() == [5 / 30_000, big / 30_000]
        ni.save(tree, tmp_path / "s.zarr")
        assert ni.open(tmp_path / "s.zarr").identical(tree)
        with pytest.raises(ni.LoaderError, match="unit 'a' has times of dtype float64: samples are whole numbers"):
            spikes.load({"a": [0.5]}, bin_width=1.0, time_units="samples", sampling_rate=10.0)
        with pytest.raises(ni.LoaderError, match="times in samples need sampling_rate="):
            spikes.load({"a": [5]}, bin_width=1.0, time_units="samples")
        with pytest.raises(ni.LoaderError, match="time_units is 'min': one of s, ms, us, samples is needed"):
            spikes.load({"a": [5]}, bin_width=1.0, time_units="min")


class TestMalformed:
    def test_times_that_jump_back_are_sorted_and_counted(self):
        tree = spikes.load_session({"a": [0.3, 0.1, 0.2], "b": [0.4, 0.1]}, bin_width=0.1)
        np.testing.assert_array_equal(tree["structure/spike_times/structure"], [0.1, 0.2, 0.3, 0.1, 0.4])
        rec = tree["recordings/spikes/recording"]
        assert rec.attrs["history"][-1]["parameters"]["spikes_out_of_order"] == 2
        assert (
            "spikes_out_of_order"
            not in spikes.load({"a": [0.1, 0.1]}, bin_width=1.0).attrs["history"][-1]["parameters"]
        )

    def test_input_is_left_as_it_was(self):
        times = np.array([0.3, 0.1])
        spikes.load_session({"a": times}, bin_width=0.1)
        assert times.tolist() == [0.3, 0.1]

    def test_duplicate_units(self):
        with pytest.raises(ni.LoaderError, match="mapping: unit '1' stands more than once: labels must be unique"):
            spikes.load({1: [0.1], "1": [0.2]}, bin_width=0.1)

    def test_no_spike_at_all(self):
        with pytest.raises(ni.LoaderError, match=r"none of its 2 units has a spike; pass stop= \(s\), its end"):
            spikes.load({"a": [], "b": []}, bin_width=0.1)
        rec = spikes.load({"a": [], "b": []}, bin_width=0.5, stop=2.0)
        assert rec.shape == (4, 2)
        assert not rec.values.any()

    def test_clock_that_began_long_ago(self):
        with pytest.raises(
            ni.LoaderError, match=r"more than fit; the last spike is at 1.7e\+09 s: pass start= and stop="
        ):
            spikes.load({"a": [1.7e9]}, bin_width=0.001)
        assert int(spikes.load({"a": [1.7e9 + 0.5]}, bin_width=0.001, start=1.7e9).sum()) == 1

    def test_arguments_without_a_meaning(self, mirror):
        with pytest.raises(ni.LoaderError, match="time_units= has no meaning for an ALF folder, which takes none"):
            spikes.load(mirror / "spikes/ibl_alf", bin_width=0.1, time_units="ms")
        with pytest.raises(ni.LoaderError, match="columns= has no meaning for a mapping, which takes time_units"):
            spikes.load({"a": [0.1]}, bin_width=0.1, columns={"time": "t", "unit": "u"})
        with pytest.raises(
            ni.LoaderError, match=r"object is no source of spikes; one of these is needed: \{unit: times\}"
        ):
            spikes.load(object(), bin_width=0.1)
        with pytest.raises(ni.LoaderError, match=r"spikes are counted in bins: pass bin_width= \(s\)"):
            spikes.load_session({"a": [0.1]})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-40, 400), min_size=1, max_size=60),
    st.sampled_from([0.01, 0.02, 0.05, 0.1]),
    st.integers(0, 60),
    st.integers(1, 40),
)
def test_counts_are_conserved_and_edges_belong_to_the_bin_they_open(ticks, width, first, bins):
    """Times on a grid of 10 ms, where binary fractions fall on either side of an edge."""
    per_bin = round(width * 100)
    start, stop = first / 100, (first + bins * per_bin) / 100
    rec = spikes.load({"a": [tick / 100 for tick in ticks]}, bin_width=width, start=start, stop=stop)
    expected = np.zeros(bins, dtype=int)
    for tick in ticks:
        if 0 <= tick - first < bins * per_bin:
            expected[(tick - first) // per_bin] += 1
    np.testing.assert_array_equal(rec.values[:, 0], expected)
    assert expected.sum() + rec.attrs["history"][0]["parameters"]["events_outside"] == len(ticks)


class TestSmooth:
    def test_counts_are_conserved_and_an_even_rate_stays_even(self):
        rng = np.random.default_rng(0)
        rec = spikes.load({"a": rng.uniform(0, 5, 200), "b": rng.uniform(0, 0.2, 40)}, bin_width=0.01, stop=5.0)
        rate = spikes.smooth(rec, 0.05)
        assert rate.attrs["units"] == "Hz"
        assert rate.attrs["history"][-1]["function"] == "loaders.spikes.smooth"
        assert rate.attrs["history"][-1]["parameters"]["sigma"] == 0.05
        np.testing.assert_allclose(rate.sum("time") * 0.01, [200, 40], rtol=1e-12)
        even = spikes.smooth(rec.copy(data=np.full(rec.shape, 3)), 0.05)
        np.testing.assert_allclose(even, 300.0, rtol=1e-12)
        assert rec.attrs["units"] == "1"

    def test_one_spike_is_the_gaussian(self):
        rec = spikes.load({"a": [0.505]}, bin_width=0.01, stop=1.0)
        rate = spikes.smooth(rec, 0.05).values[:, 0]
        at = (np.arange(100) - 50) * 0.01
        gaussian = np.exp(-(at**2) / (2 * 0.05**2))
        gaussian[np.abs(at) > 0.25 + 1e-9] = 0
        np.testing.assert_allclose(rate, gaussian / gaussian.sum() / 0.01, rtol=1e-10, atol=1e-12)

    def test_segments_do_not_mix(self):
        rec = spikes.load({"a": [0.495]}, bin_width=0.01, stop=1.0)
        rate = spikes.smooth(rec.assign_coords(segment=("time", np.repeat([0, 1], 50))), 0.05)
        assert not rate.values[50:].any()
        assert float(rate.sum()) * 0.01 == pytest.approx(1.0)

    def test_refusals(self):
        rec = spikes.load({"a": [0.1]}, bin_width=0.01)
        with pytest.raises(ni.RecordingError, match=r"counts \(units '1'\) on a regular clock are needed, found 'Hz'"):
            spikes.smooth(spikes.smooth(rec, 0.02), 0.02)
        with pytest.raises(ni.RecordingError, match="sigma is 0: a positive number of seconds"):
            spikes.smooth(rec, 0)
        with pytest.raises(ni.RecordingError, match="a clock in seconds is needed"):
            spikes.smooth(spikes.load(np.ones((4, 2), dtype=bool), bin_width=1), 0.1)
        holes = rec.astype(float)
        holes[3] = np.nan
        with pytest.raises(ni.RecordingError, match="1 counts are missing"):
            spikes.smooth(holes, 0.02)
