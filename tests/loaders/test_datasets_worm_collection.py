"""Homogenised worms together: stacked on one order and counted."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders.datasets import worm_collection, worm_neurons, worm_traces


class TestStack:
    def worm(self, labels, frames, step=0.6, seed=0):
        rng = np.random.default_rng(seed)
        rec = worm_traces.worm(
            rng.normal(size=(frames, len(labels))), np.arange(frames) * step, labels, function="made", attrs={}
        )
        return worm_traces.homogenise(rec, target_dt=0.5)

    def test_named_neurons_on_one_axis_and_nan_where_there_is_none(self):
        worms = {"a": self.worm(["AVAL", "VB02", ""], 40), "b": self.worm(["AVAR", "AVAL"], 60, seed=1)}
        out = worm_collection.stack(worms)
        ni.check(out)
        assert out.dims == ("subject", "time", "unit")
        assert tuple(out.unit.values) == worm_neurons.order(300)
        assert out.sizes["time"] == worms["b"].sizes["time"] > worms["a"].sizes["time"]
        for name, rec in worms.items():
            np.testing.assert_array_equal(out.sel(subject=name, time=rec.time.values), rec.isel(unit=slice(None, 300)))
        assert out.sel(subject="a").isel(time=slice(worms["a"].sizes["time"], None)).isnull().all()
        assert int(out.notnull().sum()) == sum(
            int(rec.isel(unit=slice(None, 300)).notnull().sum()) for rec in worms.values()
        )
        assert out.attrs["history"][-1]["parameters"]["unlabeled_left_out"] == {"a": 1, "b": 0}
        assert list(out.cell_class.sel(unit=["AVAL", "AVAR"]).values) == ["AVA", "AVA"]

    def test_a_gap_of_one_worm_is_missing_and_a_gap_of_all_a_segment(self):
        def gapped(seed):
            time = np.concatenate([np.arange(20) * 0.5, 50 + np.arange(20) * 0.5])
            rec = worm_traces.worm(
                np.random.default_rng(seed).normal(size=(40, 1)), time, ["AVAL"], function="made", attrs={}
            )
            segments = rec.assign_coords(segment=("time", np.repeat([0, 1], 20)))
            return worm_traces.homogenise(segments, target_dt=0.5)

        both = worm_collection.stack({"a": gapped(0), "b": gapped(1)})
        np.testing.assert_array_equal(both.segment, np.repeat([0, 1], 20))
        assert both.sel(unit="AVAL").notnull().all()
        mixed = worm_collection.stack({"a": gapped(0), "c": self.worm(["AVAL"], 60)})
        assert int(mixed.sel(subject="a", unit="AVAL").notnull().sum()) == 40
        ni.check(mixed)

    def test_what_cannot_be_stacked(self):
        worms = {"a": self.worm(["AVAL"], 40), "b": self.worm(["AVAL"], 40)}
        with pytest.raises(ni.LoaderError, match="worm 'c' is not homogenised: pass it through worm_traces"):
            worm_collection.stack(worms | {"c": worms["a"].drop_vars("is_labeled")})
        rec = worm_traces.worm(np.eye(40), np.arange(40) * 0.6, [""] * 40, function="made", attrs={})
        with pytest.raises(ni.LoaderError, match="worm 'c' has another step than 'a'"):
            worm_collection.stack(worms | {"c": worm_traces.homogenise(rec, target_dt=0.4)})
        with pytest.raises(ni.LoaderError, match="worm 'c' has another neuron order than 'a'"):
            worm_collection.stack(worms | {"c": worm_traces.homogenise(rec, target_dt=0.5, neurons=302)})
        with pytest.raises(ni.LoaderError, match="there are no worms to stack"):
            worm_collection.stack({})


class TestRealWorms:
    def test_one_worm_all_worms_and_the_stack(self, mirror):
        raw = ni.load("dag2023", item="2022-07-26-38", mirror=mirror)
        assert raw.sizes == {"time": 800, "unit": 141}
        assert list(ni.load_all("dag2023", mirror=mirror)) == ["2022-07-26-31", "2022-07-26-38", "2022-01-16-01"]
        worms = ni.load_all("dag2023-common", mirror=mirror)
        out = worm_collection.stack(worms)
        ni.check(out)
        assert out.sizes == {"subject": 3, "time": 1766, "unit": 300}
        there = out.notnull().any("time")
        assert list(there.sum("unit").values) == [rec.attrs["labeled"] for rec in worms.values()] == [99, 87, 0]
        one = worms["2022-07-26-38"]
        np.testing.assert_array_equal(
            out.sel(subject="2022-07-26-38", unit="AVAL", time=one.time.values), one.sel(unit="AVAL")
        )
        named = {
            name: rec.isel(unit=np.flatnonzero(rec.is_labeled.values))
            for name, rec in worms.items() if rec.sizes["time"] == 1442
        }  # fmt: skip
        plain = ni.align.stack_subjects(named)
        np.testing.assert_array_equal(plain, out.isel(subject=[0, 1], time=slice(None, 1442)))

    def test_the_summary_counts_what_is_there(self, mirror):
        raw = ni.load_all("dag2023", mirror=mirror)
        found = worm_collection.summary(raw)
        assert (found["worms"], found["neurons"]) == (3, 146 + 141 + 130)
        assert found["minutes"] == pytest.approx(
            sum(float(rec.time[-1] - rec.time[0]) for rec in raw.values()) / 60, abs=0.01
        )
        assert found["rate"] == pytest.approx(1 / 0.6, rel=0.02)
        common = worm_collection.summary(ni.load_all("dag2023-common", mirror=mirror))
        assert common.pop("minutes") == pytest.approx(found.pop("minutes"), abs=0.02)
        assert common == found
        labels = [worm_neurons.canonical(str(unit)) for rec in raw.values() for unit in rec.unit.values]
        assert found["labeled"] == len([label for label in labels if label])
        assert found["names"] == len({label for label in labels if label})
