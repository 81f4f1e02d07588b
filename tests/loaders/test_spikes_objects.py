"""Spikes held by other libraries: neo, SpikeInterface, Brian2, NEST, and step-by-step tensors."""

import datetime
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import spikes

neo = pytest.importorskip("neo")
pq = pytest.importorskip("quantities")
START = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


def train(times, units="ms", **more):
    return neo.SpikeTrain(times, units=units, t_stop=1000.0, **more)


def segment():
    found = neo.Segment()
    found.spiketrains.append(train([20.0, 5.0, 100.0], name="b", channel=3, area="V1", note="x"))
    found.spiketrains.append(train([], name="a", channel=1, area="MT"))
    found.events.append(neo.Event([0.5, 0.2] * pq.s, labels=np.array(["stop", "go"]), name="cue"))
    found.epochs.append(neo.Epoch([300.0] * pq.ms, durations=[100.0] * pq.ms, labels=np.array(["light"])))
    found.analogsignals.append(neo.AnalogSignal(np.zeros((5, 1)), units="mV", sampling_rate=1 * pq.kHz, name="lfp"))
    return found


class TestNeo:
    def test_segment(self):
        tree = spikes.load_session(segment(), bin_width=0.01)
        rec, kept = tree["recordings/spikes/recording"], tree["structure/spike_times/structure"]
        assert rec["unit"].values.tolist() == ["b", "a"]
        assert rec["channel"].values.tolist() == [3, 1]
        assert rec["area"].values.tolist() == ["V1", "MT"]
        assert "note" not in rec.coords  # not known of every train
        np.testing.assert_allclose(kept, [0.005, 0.02, 0.1], rtol=1e-14)
        np.testing.assert_array_equal(rec["t_stop"], [1.0, 1.0])
        events = tree["events"].to_dataset()
        np.testing.assert_allclose(events["onset"], [0.2, 0.3, 0.5])
        np.testing.assert_allclose(events["duration"], [np.nan, 0.1, np.nan])
        assert events["trial_type"].values.tolist() == ["go", "light", "stop"]

    def test_block_of_several_segments_needs_one_named(self):
        block = neo.Block()
        block.segments += [segment(), neo.Segment()]
        with pytest.raises(
            ni.LoaderError, match=r"holds 2 segments, each with its own clock: 0 \(2 trains\), 1 \(0 tr"
        ):
            spikes.load(block, bin_width=0.01)
        assert int(spikes.load(block, bin_width=0.01, segment=0).sum()) == 3
        with pytest.raises(ni.LoaderError, match="has no segment 2: segment= is 0 to 1"):
            spikes.load(block, bin_width=0.01, segment=2)
        with pytest.raises(ni.LoaderError, match="neo: neo found no spike train in it"):
            spikes.load(block, bin_width=0.01, segment=1)

    def test_names_that_repeat_become_a_coordinate(self):
        rec = spikes.load([train([1.0], name="x"), train([2.0], name="x")], bin_width=0.01)
        assert rec["unit"].values.tolist() == ["u0", "u1"]
        assert rec["train_name"].values.tolist() == ["x", "x"]
        assert spikes.load(train([1.0]), bin_width=0.01)["unit"].values.tolist() == ["u0"]
        with pytest.raises(ni.LoaderError, match="a list of SpikeTrain is needed, it holds a Segment"):
            spikes.load([train([1.0]), segment()], bin_width=0.01)

    def test_matlab_file_of_neo(self, tmp_path):
        block = neo.Block()
        block.segments.append(segment())
        block.segments[0].analogsignals.clear()
        neo.io.NeoMatlabIO(str(tmp_path / "block.mat")).write_block(block)
        tree = spikes.load_session(tmp_path / "block.mat", bin_width=0.01)
        rec = tree["recordings/spikes/recording"]
        assert rec["unit"].values.tolist() == ["b", "a"]
        np.testing.assert_allclose(tree["structure/spike_times/structure"], [0.005, 0.02, 0.1], rtol=1e-14)
        assert rec.attrs["history"][-1]["parameters"]["reader"] == "NeoMatlabIO"

    def test_text_file_of_neo(self, tmp_path):
        (tmp_path / "trains.txt").write_text("0.25\t0.5\n0.75\n")
        rec = spikes.load(tmp_path / "trains.txt", bin_width=0.25, reader="AsciiSpikeTrainIO")
        np.testing.assert_array_equal(rec, [[0, 0], [1, 0], [1, 0], [0, 1]])

    def test_lazy_reader_agrees_with_ours(self, mirror, tmp_path):
        for name in ("spike_times", "spike_clusters", "spike_templates"):
            shutil.copy(mirror / "spikes/phy_template" / f"{name}.npy", tmp_path)
        (tmp_path / "params.py").write_text("sample_rate = 25000.0\n")
        theirs = spikes.load_session(tmp_path, bin_width=0.1, reader="PhyIO")
        ours = spikes.load_session(tmp_path, bin_width=0.1)
        one, two = (tree["recordings/spikes/recording"] for tree in (theirs, ours))
        np.testing.assert_array_equal(one, two)
        assert one.attrs["history"][-1]["parameters"]["reader"] == "PhyIO"
        times = [tree["structure/spike_times/structure"].values for tree in (theirs, ours)]
        np.testing.assert_allclose(*times, rtol=1e-12)

    def test_nothing_is_unpickled(self, tmp_path):
        neo.io.PickleIO(str(tmp_path / "block.pkl")).write_block(neo.Block())
        with pytest.raises(ni.LoaderError, match=r"no reader of neo's takes it \(none is safe\)"):
            spikes.load(tmp_path / "block.pkl", bin_width=0.01)
        with pytest.raises(ni.LoaderError, match="reader='PickleIO' is not one of"):
            spikes.load(tmp_path / "block.pkl", bin_width=0.01, reader="PickleIO")

    def test_files_that_nobody_reads(self, tmp_path):
        (tmp_path / "a.docx").write_bytes(b"x")
        with pytest.raises(ni.LoaderError, match=r"a\.docx: no reader of neo's knows it \(docx is not a supported"):
            spikes.load(tmp_path / "a.docx", bin_width=0.01)
        (tmp_path / "a.nev").write_bytes(b"x" * 10)
        with pytest.raises(ni.LoaderError, match=r"a\.nev: "):
            spikes.load(tmp_path / "a.nev", bin_width=0.01)


class Sorting:
    """Stands in for a SpikeInterface sorting: the methods and their meanings of its BaseSorting."""

    def __init__(self, *segments, rate=30_000.0, start=0.0):
        self.segments, self.rate, self.start = segments, rate, start

    def get_unit_ids(self):
        return np.array(list(self.segments[0]))

    def get_sampling_frequency(self):
        return self.rate

    def get_num_segments(self):
        return len(self.segments)

    def get_start_time(self, segment_index=None):
        return self.start

    def get_unit_spike_train(self, unit_id, segment_index=None, return_times=False):
        samples = np.array(self.segments[segment_index or 0][unit_id], dtype=np.int64)
        return samples / self.rate + self.start if return_times else samples

    def get_property_keys(self):
        return ["quality", "position"]

    def get_property(self, key):
        units = len(self.segments[0])
        return np.array(["good"] * units) if key == "quality" else np.zeros((units, 2))


class TestSpikeInterface:
    def test_samples_stay_exact(self):
        tree = spikes.load_session(Sorting({5: [3000, 6001], 2: []}), bin_width=0.1)
        rec, kept = tree["recordings/spikes/recording"], tree["structure/spike_times/structure"]
        assert rec["unit"].values.tolist() == ["5", "2"]
        assert rec["quality"].values.tolist() == ["good", "good"]
        assert kept["spike_sample"].values.tolist() == [3000, 6001]
        assert kept.values.tolist() == [3000 / 30_000, 6001 / 30_000]
        np.testing.assert_array_equal(rec, [[0, 0], [1, 0], [1, 0]])

    def test_a_clock_of_its_own_gives_seconds(self):
        tree = spikes.load_session(Sorting({1: [3000]}, start=10.0), bin_width=0.1)
        kept = tree["structure/spike_times/structure"]
        assert kept.values.tolist() == [10.1]
        assert "spike_sample" not in kept.coords

    def test_segments(self):
        sorting = Sorting({1: [30]}, {1: [60, 90]})
        with pytest.raises(ni.LoaderError, match=r"has 2 segments with clocks of their own; pass segment= \(0 to 1\)"):
            spikes.load(sorting, bin_width=0.1)
        assert int(spikes.load(sorting, bin_width=0.1, segment=1).sum()) == 2

    def test_the_library_itself(self):
        core = pytest.importorskip("spikeinterface.core")
        units = {"a": np.array([10, 300]), "b": np.array([4, 4, 90_000])}
        sorting = core.NumpySorting.from_unit_dict([units], sampling_frequency=30_000.0)
        sorting.set_property("quality", np.array(["good", "mua"]))
        tree = spikes.load_session(sorting, bin_width=0.001)
        assert tree["structure/spike_times/structure"]["spike_sample"].values.tolist() == [10, 300, 4, 4, 90_000]
        assert tree["recordings/spikes/recording"]["quality"].values.tolist() == ["good", "mua"]


class TestBrian2:
    def test_monitor(self):
        monitor = SimpleNamespace(
            t=np.array([0.001, 0.003, 0.003]), i=np.array([2, 0, 2], dtype=np.int32), source=range(4), spike_trains=dict
        )
        tree = spikes.load_session(monitor, bin_width=0.002)
        rec = tree["recordings/spikes/recording"]
        assert rec["unit"].values.tolist() == ["n0", "n1", "n2", "n3"]
        np.testing.assert_array_equal(rec, [[0, 0, 1, 0], [1, 0, 1, 0]])
        assert rec.attrs["history"][-1]["parameters"]["units_without_spikes"] == ["n1", "n3"]
        monitor.source = range(2)
        with pytest.raises(ni.LoaderError, match="spikes of neuron 2 in a group of 2"):
            spikes.load(monitor, bin_width=0.002)

    def test_generator(self):
        group = SimpleNamespace(neuron_index=np.array([1, 0]), spike_time=np.array([0.002, 0.001]), period=0.0, N=2)
        np.testing.assert_array_equal(spikes.load(group, bin_width=0.001), [[0, 0], [1, 0], [0, 1]])
        group.period = 0.1
        with pytest.raises(ni.LoaderError, match=r"repeats its spikes every 0\.1 s without end; run it and pass"):
            spikes.load(group, bin_width=0.001)

    def test_the_library_itself(self):
        brian2 = pytest.importorskip("brian2")
        brian2.prefs.codegen.target = "numpy"
        group = brian2.SpikeGeneratorGroup(4, [0, 2, 2], [1, 3, 5] * brian2.ms, dt=0.1 * brian2.ms)
        monitor = brian2.SpikeMonitor(group)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it parses its equations with
            brian2.Network(group, monitor).run(10 * brian2.ms)
        expected = np.zeros((6, 4))
        expected[[1, 3, 5], [0, 2, 2]] = 1
        for source in (group, monitor):
            rec = spikes.load(source, bin_width=0.001)
            assert rec["unit"].values.tolist() == ["n0", "n1", "n2", "n3"]
            np.testing.assert_array_equal(rec, expected)


def test_nest_times_are_milliseconds():
    events = {"times": np.array([1.5, 0.5, 0.7]), "senders": np.array([12, 3, 12])}
    for source in (events, SimpleNamespace(events=events)):
        tree = spikes.load_session(source, bin_width=0.001)
        rec = tree["recordings/spikes/recording"]
        assert rec["unit"].values.tolist() == ["n3", "n12"]
        assert rec["index"].values.tolist() == [3, 12]
        np.testing.assert_array_equal(rec, [[1, 1], [0, 1]])
        np.testing.assert_allclose(tree["structure/spike_times/structure"], [0.0005, 0.0007, 0.0015], rtol=1e-14)
    with pytest.raises(ni.LoaderError, match="set time_in_steps to False, so that they are in ms"):
        spikes.load({**events, "offsets": np.zeros(3)}, bin_width=0.001)
    with pytest.raises(ni.LoaderError, match=r"one integer unit per spike is needed, found units int64 \(3,\) beside"):
        spikes.load({**events, "times": np.zeros(2)}, bin_width=0.001)


class TestTensors:
    def spikes(self):
        return (np.random.default_rng(1).random((10, 3, 4)) < 0.3).astype(np.float32)

    def test_steps_of_snntorch_and_norse(self):
        torch = pytest.importorskip("torch")
        values = self.spikes()
        rec = spikes.load(torch.tensor(values, requires_grad=True), bin_width=2)
        assert rec.dims == ("trial", "time", "unit")
        assert rec.shape == (3, 5, 4)
        assert rec.dtype == np.int64
        assert rec["time"].attrs["units"] == "step"
        assert rec["time"].values.tolist() == [0, 2, 4, 6, 8]
        np.testing.assert_array_equal(rec, (values[::2] + values[1::2]).transpose(1, 0, 2))
        assert spikes.load(values.astype(bool), bin_width=2).drop_attrs().identical(rec.drop_attrs())

    def test_seconds_where_a_step_has_a_length(self):
        rec = spikes.load(self.spikes()[:, 0], bin_width=0.003, sampling_rate=1000.0, start=0.001)
        assert rec.dims == ("time", "unit")
        np.testing.assert_allclose(rec["time"], [0.001, 0.004, 0.007])
        assert rec.attrs["sampling_rate"] == pytest.approx(1000 / 3)
        np.testing.assert_array_equal(rec, self.spikes()[1:, 0].reshape(3, 3, 4).sum(axis=1))

    def test_spikes_are_conserved(self):
        values = self.spikes() * 2
        tree = spikes.load_session(values, bin_width=4)
        rec, kept = tree["recordings/spikes/recording"], tree["structure/spike_times/structure"]
        said = rec.attrs["history"][-1]["parameters"]
        assert int(rec.sum()) + said["events_outside"] == kept.size == int(values.sum())
        assert (said["steps_left_out"], said["events_outside"]) == (2, int(values[8:].sum()))
        back = np.zeros(values.shape)
        unit = [rec["unit"].values.tolist().index(label) for label in kept["spike_unit"].values]
        np.add.at(back, (kept.values, kept["spike_trial"].values, unit), 1)
        np.testing.assert_array_equal(back, values)

    def test_refusals(self):
        with pytest.raises(ni.LoaderError, match=r"120 values are no counts of spikes; is this a membrane potential\?"):
            spikes.load(self.spikes() + 0.5, bin_width=1)
        values = self.spikes()
        values[0, 0, 0] = -1
        with pytest.raises(ni.LoaderError, match="1 values are no counts"):
            spikes.load(values, bin_width=1)
        with pytest.raises(ni.LoaderError, match=r"bin_width 1\.5 steps is not a whole number of steps"):
            spikes.load(self.spikes(), bin_width=1.5)
        with pytest.raises(ni.LoaderError, match=r"bin_width 0\.0015 s at 1000 steps per s is not a whole number"):
            spikes.load(self.spikes(), bin_width=0.0015, sampling_rate=1000.0)
        with pytest.raises(ni.LoaderError, match="steps 0 to 10 of 10 hold no bin of 11 steps"):
            spikes.load(self.spikes(), bin_width=11)

    def test_survives_the_store(self, tmp_path):
        tree = spikes.load_session(self.spikes(), bin_width=2)
        ni.save(tree, tmp_path / "s.zarr")
        assert ni.open(tmp_path / "s.zarr").identical(tree)


class TestSimulatorsThemselves:
    """The libraries themselves, where they are installed (`docs/loaders_spikes.md` says how)."""

    def test_snntorch_records_step_batch_unit(self):
        torch, snntorch = pytest.importorskip("torch"), pytest.importorskip("snntorch")
        layer = snntorch.Leaky(beta=0.9)
        membrane, steps = layer.init_leaky(), []
        for _ in range(40):
            fired, membrane = layer(0.3 * torch.ones(2, 5) * torch.arange(5), membrane)
            steps.append(fired)
        spikes_of = torch.stack(steps)
        tree = spikes.load_session(spikes_of, bin_width=0.01, sampling_rate=1000.0)
        rec, kept = tree["recordings/spikes/recording"], tree["structure/spike_times/structure"]
        assert rec.dims == ("trial", "time", "unit")
        assert rec.shape == (2, 4, 5)
        np.testing.assert_array_equal(rec.sum("time"), spikes_of.sum(0))
        assert kept.size == int(spikes_of.sum()) > 0
        assert not rec.sel(unit="u0").any()  # no input
        first = int(spikes_of[:, 0, 4].nonzero()[0, 0])
        mine = (kept["spike_unit"].values == "u4") & (kept["spike_trial"].values == 0)
        assert int(kept["spike_sample"].values[mine][0]) == first

    def test_norse_records_step_batch_unit(self):
        torch, norse = pytest.importorskip("torch"), pytest.importorskip("norse.torch")
        cell, state, steps = norse.LIFCell(), None, []
        for _ in range(60):
            fired, state = cell(torch.full((2, 3), 3.0), state)
            steps.append(fired)
        spikes_of = torch.stack(steps)
        rec = spikes.load(spikes_of, bin_width=10)
        np.testing.assert_array_equal(rec.values, spikes_of.detach().numpy().reshape(6, 10, 2, 3).sum(1).swapaxes(0, 1))
        assert int(rec.sum()) == int(spikes_of.sum()) > 0

    def test_spikeinterface_segments_and_a_clock_of_its_own(self):
        core = pytest.importorskip("spikeinterface.core")
        _, sorting = core.generate_ground_truth_recording(durations=[2.0, 3.0], num_units=4, seed=0)
        with pytest.raises(ni.LoaderError, match=r"has 2 segments with clocks of their own; pass segment= \(0 to 1\)"):
            spikes.load(sorting, bin_width=0.1)
        tree = spikes.load_session(sorting, bin_width=0.1, segment=1)
        kept = tree["structure/spike_times/structure"]
        for unit in sorting.unit_ids:
            mine = kept["spike_sample"].values[kept["spike_unit"].values == str(unit)]
            np.testing.assert_array_equal(mine, sorting.get_unit_spike_train(unit, segment_index=1))


class TestNeoWriters:
    """Files that neo itself writes, read back by the suffix alone."""

    @pytest.mark.parametrize(("suffix", "library"), [(".nix", "nixio"), (".mat", None), (".nwb", "pynwb")])
    def test_a_block_comes_back(self, tmp_path, suffix, library):
        if library is not None:
            pytest.importorskip(library)
        block = neo.Block(name="b", session_start_time=START) if suffix == ".nwb" else neo.Block()
        found = neo.Segment(name="s")
        found.spiketrains += [train([20.0, 100.0], name="b"), train([5.0], name="a")]
        block.segments.append(found)
        path = tmp_path / f"block{suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # neo calls pynwb in a way that pynwb is about to drop
            if suffix == ".mat":
                neo.io.NeoMatlabIO(str(path)).write_block(block)
            elif suffix == ".nwb":
                neo.io.NWBIO(str(path), mode="w").write_all_blocks([block])
            else:
                with neo.io.NixIO(str(path), mode="ow") as opened:
                    opened.write_block(block)
        rec = spikes.load(path, bin_width=0.01)
        assert int(rec.sum()) == 3
        np.testing.assert_array_equal(np.sort(rec.sum("time").values), [1, 2])
        np.testing.assert_array_equal(np.flatnonzero(rec.sum("unit").values), [0, 2, 10])
