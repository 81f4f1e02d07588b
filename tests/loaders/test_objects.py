"""Objects of pynapple, rsatoolbox, BrainIO and TransformerLens: what they hold, what is refused, and the way back."""

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import geometry
from neurointerp.loaders import activations, spikes
from neurointerp.loaders.objects import activation_cache, brainio, pynapple, rsatoolbox

nap = pytest.importorskip("pynapple", reason="pynapple is not installed")


@pytest.fixture
def trials():
    """Give twelve trials of four units: three stimuli, four repeats."""
    rng = np.random.default_rng(0)
    return ni.recording(
        rng.standard_normal((12, 4)),
        modality="fmri", units="percent", dims=("trial", "unit"), unit=["a", "b", "c", "d"],
        coords={
            "stimulus": ("trial", np.tile(["cat", "dog", "owl"], 4)),
            "repeat": ("trial", np.repeat(np.arange(4), 3)),
            "region": ("unit", ["V1", "V1", "IT", "IT"]),
            "x": ("unit", np.arange(4) / 1000),
        },
        attrs={"system": "simulated"},
    )  # fmt: skip


class TestPynapple:
    def test_a_frame_with_intervals_and_metadata(self):
        time = np.arange(100) / 10
        values = np.random.default_rng(0).standard_normal((100, 3))
        support = nap.IntervalSet([0.0, 6.0], [3.05, 9.95])
        held = {"region": ["CA1", "CA3", "DG"], "depth": [1.0, 2.0, 3.0], "x": [5, 6, 7]}
        frame = nap.TsdFrame(t=time, d=values, columns=["p", "q", "r"], time_support=support, metadata=held)
        rec = pynapple.load(frame, modality="calcium", units="1", name="slice")
        kept = (time <= 3.05) | (time >= 6.0)
        np.testing.assert_array_equal(rec.values, values[kept])
        np.testing.assert_array_equal(rec.time.values, time[kept])
        assert rec.segment.values.tolist() == [0] * 31 + [1] * 40
        assert (rec.attrs["sampling_rate"], rec.name) == (10.0, "slice")
        assert rec.region.values.tolist() == ["CA1", "CA3", "DG"]
        assert "x" not in rec.coords  # metres are not known
        assert rec.column_x.values.tolist() == [5, 6, 7]
        back = pynapple.to_tsdframe(rec)
        np.testing.assert_array_equal(back.values, frame.values)
        np.testing.assert_array_equal(back.t, frame.t)
        assert back.time_support.values.tolist() == [[0.0, 3.0], [6.0, 9.9]]
        assert back.metadata["region"].tolist() == ["CA1", "CA3", "DG"]
        again = pynapple.load(back, modality="calcium", units="1", name="slice")
        assert again.drop_vars("column_x").equals(rec.drop_vars("column_x"))

    def test_one_series_float32_and_missing_values(self):
        values = np.array([1.0, np.nan, 3.0], dtype=np.float32)
        rec = pynapple.load(nap.Tsd(t=[0.0, 1.0, 3.0], d=values), modality="behavior", units="m", name="speed")
        assert (rec.unit.values.tolist(), rec.dtype) == (["speed"], np.float32)
        assert "sampling_rate" not in rec.attrs
        np.testing.assert_array_equal(rec.values[:, 0], values)

    def test_what_cannot_be_held_is_refused(self, trials):
        group = nap.TsGroup({0: nap.Ts([0.1, 0.4])}, time_support=nap.IntervalSet(0, 1))
        for source in (group, nap.Ts([0.1, 0.2]), [1, 2]):
            with pytest.raises(ni.LoaderError, match=r"loaders\.spikes\.load"):
                pynapple.load(source, modality="spikes", units="1")
        movie = nap.TsdTensor(t=np.arange(3.0), d=np.zeros((3, 2, 2)))
        with pytest.raises(ni.LoaderError, match="has 3 dims"):
            pynapple.load(movie, modality="calcium", units="1")
        twice = nap.TsdFrame(t=np.arange(3.0), d=np.zeros((3, 2)), columns=["a", "a"])
        with pytest.raises(ni.RecordingError, match="unit"):
            pynapple.load(twice, modality="calcium", units="1")
        with pytest.raises(ni.LoaderError, match=r"dims are \('trial', 'unit'\)"):
            pynapple.to_tsdframe(trials)
        with pytest.raises(ni.LoaderError, match="clock token"):
            pynapple.to_tsdframe(ni.load("demo-activations"))
        parts = {"segment": ("time", [0, 0, 1])}
        lone = ni.recording(np.zeros((3, 1)), modality="eeg", units="V", time=[0.0, 1.0, 5.0], coords=parts)
        with pytest.raises(ni.LoaderError, match="segment 1 has one sample"):
            pynapple.to_tsdframe(lone)

    def test_spikes_go_there_and_back(self):
        rng = np.random.default_rng(0)
        times = {3: np.sort(rng.uniform(1.0, 9.0, 50)), 7: np.sort(rng.uniform(1.0, 9.0, 20)), 9: np.array([])}
        support = nap.IntervalSet(0.5, 9.5)
        group = nap.TsGroup(
            {key: nap.Ts(row, time_support=support) for key, row in times.items()},
            time_support=support, metadata={"area": ["CA1", "CA1", "DG"]},
        )  # fmt: skip
        rec = spikes.load(group, bin_width=0.5)
        assert (rec.time.values[0], rec.sizes["time"]) == (0.5, 18)  # where the support says, not where spikes are
        assert rec.unit.values.tolist() == ["3", "7", "9"]
        assert rec.area.values.tolist() == ["CA1", "CA1", "DG"]
        expected = np.stack([np.histogram(row, np.arange(0.5, 9.6, 0.5))[0] for row in times.values()], axis=1)
        np.testing.assert_array_equal(rec.values, expected)
        tree = spikes.load_session(group, bin_width=0.5)
        back = pynapple.to_tsgroup(tree)
        assert back.metadata["unit"].tolist() == ["3", "7", "9"]
        for k, row in enumerate(times.values()):
            np.testing.assert_array_equal(back[k].t, row)
        assert back.time_support.values.tolist() == [[0.5, 9.5]]
        np.testing.assert_allclose(back.count(0.5).values, rec.values)  # pynapple counts the same

    def test_what_was_not_observed_is_not_counted_as_silence(self):
        support = nap.IntervalSet([0.0, 10.0], [2.0, 12.0])
        group = nap.TsGroup({0: nap.Ts([0.5, 11.0, 11.5], time_support=support)}, time_support=support)
        with pytest.raises(ni.LoaderError, match=r"2 intervals, .* pass segment= \(0 to 1\)"):
            spikes.load(group, bin_width=0.5)
        rec = spikes.load(group, bin_width=1.0, segment=1)
        assert (rec.time.values.tolist(), rec.values[:, 0].tolist()) == ([10.0, 11.0], [0, 2])
        with pytest.raises(ni.LoaderError, match="no interval 2"):
            spikes.load(group, bin_width=0.5, segment=2)
        tree = spikes.load_session({"a": [0.1, 5.0]}, bin_width=1.0, stop=2.0)
        with pytest.raises(ni.LoaderError, match="1 spikes lie outside the counts"):
            pynapple.to_tsgroup(tree)
        with pytest.raises(ni.LoaderError, match="spike times and counts are needed"):
            pynapple.to_tsgroup(ni.load_session("demo-eeg"))


class TestRsatoolbox:
    data = pytest.importorskip("rsatoolbox.data", reason="rsatoolbox is not installed")

    def test_a_dataset_there_and_back(self, trials):
        made = rsatoolbox.to_dataset(trials)
        np.testing.assert_array_equal(made.measurements, trials.values)
        assert made.obs_descriptors["stimulus"][:3] == ["cat", "dog", "owl"]
        assert made.channel_descriptors["unit"] == ["a", "b", "c", "d"]
        assert made.descriptors["modality"] == "fmri"
        rec = rsatoolbox.load(made, modality="fmri", units="percent", stimulus="stimulus")
        np.testing.assert_array_equal(rec.values, trials.values)
        for name in ("stimulus", "repeat", "region", "unit"):
            assert rec[name].values.tolist() == trials[name].values.tolist()
        assert rec.channel_x.values.tolist() == trials.x.values.tolist()

    @pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")  # theirs
    def test_dissimilarities_are_theirs_and_go_both_ways(self, trials):
        rdm = pytest.importorskip("rsatoolbox.rdm")
        theirs = rdm.calc_rdm(rsatoolbox.to_dataset(trials), method="euclidean", descriptor="stimulus")
        ours = geometry.rdm(trials, metric="euclidean")
        read = rsatoolbox.load_rdms(theirs, stimulus="stimulus")
        assert read.dims == ("rdm", "stimulus", "stimulus2")
        order = ours.stimulus.values
        found = read.isel(rdm=0).sel(stimulus=order, stimulus2=order)
        np.testing.assert_allclose(found.values, ours.rdm.values, atol=1e-12)
        back = rsatoolbox.to_rdms(ours)
        assert (back.dissimilarity_measure, back.pattern_descriptors["stimulus"]) == ("euclidean", list(order))
        np.testing.assert_allclose(np.sort(back.dissimilarities), np.sort(theirs.dissimilarities))
        assert rsatoolbox.to_rdms(read).dissimilarities.tolist() == theirs.dissimilarities.tolist()
        likeness = geometry.rsa({"a": found, "b": ours}, permutations=0, comparison="pearson")
        np.testing.assert_allclose(likeness.similarity.values, 1)

    def test_what_is_said_of_each_matrix_comes_back(self):
        rdm = pytest.importorskip("rsatoolbox.rdm", reason="rsatoolbox is not installed")
        held = {"person": ["ann", "bo"], "session": [1, 2]}
        theirs = rdm.RDMs(
            np.arange(6.0).reshape(2, 3), pattern_descriptors={"image": ["cat", "dog", "owl"]}, rdm_descriptors=held
        )
        back = rsatoolbox.to_rdms(rsatoolbox.load_rdms(theirs, stimulus="image"))
        np.testing.assert_array_equal(back.dissimilarities, theirs.dissimilarities)
        assert {name: list(back.rdm_descriptors[name]) for name in held} == held

    def test_their_real_file_of_human_it(self, mirror):
        io = pytest.importorskip("scipy.io")
        rdm = pytest.importorskip("rsatoolbox.rdm")
        held = io.loadmat(mirror / "image_brain/kriegeskorte92/92_brainRDMs.mat")["RDMs"]
        matrices = np.array([one["RDM"] for one in held.ravel()])
        made = rdm.RDMs(matrices, rdm_descriptors={"scan": [f"s{k}" for k in range(8)]},
                        pattern_descriptors={"object": [f"o{k:02}" for k in range(92)]})  # fmt: skip
        read = rsatoolbox.load_rdms(made, stimulus="object")
        assert dict(read.sizes) == {"rdm": 8, "stimulus": 92, "stimulus2": 92}
        np.testing.assert_array_equal(read.sel(scan=read.scan == "s3").values[0], matrices[3])
        np.testing.assert_array_equal(rsatoolbox.to_rdms(read).get_matrices(), matrices)

    def test_time_and_its_units(self):
        values = np.random.default_rng(0).standard_normal((4, 3, 5))  # (observation, channel, time)
        made = self.data.TemporalDataset(values, obs_descriptors={"conds": [0, 1, 0, 1]},
                                         time_descriptors={"time": [0, 10, 20, 30, 40]})  # fmt: skip
        with pytest.raises(ni.LoaderError, match="pass time_units='s' or 'ms'"):
            rsatoolbox.load(made, modality="meg", units="T", stimulus="conds")
        rec = rsatoolbox.load(made, modality="meg", units="T", stimulus="conds", time_units="ms")
        assert (rec.dims, rec.attrs["sampling_rate"]) == (("trial", "time", "unit"), 100.0)
        np.testing.assert_array_equal(rec.values, values.transpose(0, 2, 1))
        assert rec.stimulus.values.tolist() == ["0", "1", "0", "1"]
        np.testing.assert_array_equal(rsatoolbox.to_dataset(rec).measurements, values)

    def test_what_is_not_there_is_named(self, trials):
        made = rsatoolbox.to_dataset(trials)
        with pytest.raises(ni.LoaderError, match="no descriptor of observations is called 'picture'; there are"):
            rsatoolbox.load(made, modality="fmri", units="1", stimulus="picture")
        with pytest.raises(ni.LoaderError, match="no descriptor of channels"):
            rsatoolbox.load(made, modality="fmri", units="1", unit="voxel")
        with pytest.raises(ni.LoaderError, match="ndarray is no Dataset"):
            rsatoolbox.load(trials.values, modality="fmri", units="1")
        matrix = geometry.rdm(trials).rdm
        with pytest.raises(ni.LoaderError, match="not the same stimuli"):
            rsatoolbox.to_rdms(matrix.isel(stimulus=[1, 0, 2]))
        with pytest.raises(ni.LoaderError, match="symmetric"):
            rsatoolbox.to_rdms(matrix + np.triu(np.ones((3, 3))))
        rdms = rsatoolbox.to_rdms(matrix)
        rdms.pattern_descriptors["stimulus"] = ["cat", "cat", "owl"]
        with pytest.raises(ni.LoaderError, match="1 stimuli more than once"):
            rsatoolbox.load_rdms(rdms, stimulus="stimulus")


class TestBrainio:
    def test_an_assembly_with_multiindexes(self):
        """Laid out as brain-score's public assemblies are: presentations and neuroids with several levels."""
        import pandas as pd

        presentation = pd.MultiIndex.from_arrays(
            [["i1", "i2", "i1", "i2"], [0, 0, 1, 1], ["face", "car", "face", "car"]],
            names=["stimulus_id", "repetition", "category_name"],
        )
        neuroid = pd.MultiIndex.from_arrays(
            [["A_1", "A_2"], ["IT", "V4"], [1.5, 2.5]], names=["neuroid_id", "region", "x"]
        )
        bins = pd.MultiIndex.from_arrays([[70], [170]], names=["time_bin_start", "time_bin_end"])
        values = np.arange(8.0).reshape(2, 4, 1)
        made = xr.DataArray(values, dims=("neuroid", "presentation", "time_bin"))
        for dim, index in (("presentation", presentation), ("neuroid", neuroid), ("time_bin", bins)):
            made = made.assign_coords(xr.Coordinates.from_pandas_multiindex(index, dim))
        rec = brainio.load(made, modality="spikes", units="Hz")
        assert rec.dims == ("trial", "unit")
        np.testing.assert_array_equal(rec.values, values[:, :, 0].T)
        assert rec.stimulus.values.tolist() == ["i1", "i2", "i1", "i2"]
        assert rec.repeat.values.tolist() == [0, 0, 1, 1]
        assert (rec.region.values.tolist(), rec.neuroid_x.values.tolist()) == (["IT", "V4"], [1.5, 2.5])
        assert rec.attrs["history"][-1]["parameters"]["time_bins"] == {"time_bin_start": [70], "time_bin_end": [170]}
        back = brainio.to_assembly(rec)
        np.testing.assert_array_equal(back.values, rec.values)
        assert back.sel(stimulus_id="i2", repetition=1)["category_name"].values.tolist() == ["car"]
        assert back.sel(neuroid_id="A_2")["region"].values.tolist() == ["V4"]
        assert brainio.load(back, modality="spikes", units="Hz").drop_vars("trial").equals(rec.drop_vars("trial"))

    def test_time_bins(self):
        values = np.random.default_rng(0).standard_normal((3, 2, 4))
        rec = ni.recording(values.transpose(0, 2, 1), modality="spikes", units="Hz", dims=("trial", "time", "unit"),
                           sampling_rate=50.0, coords={"stimulus": ("trial", ["a", "b", "c"])})  # fmt: skip
        made = brainio.to_assembly(rec)
        assert made.dims == ("presentation", "neuroid", "time_bin")
        assert made.time_bin_start.values.tolist() == [0, 20, 40, 60]
        assert made.time_bin_end.values.tolist() == [20, 40, 60, 80]
        with pytest.raises(ni.LoaderError, match="4 time bins: pass time_units"):
            brainio.load(made, modality="spikes", units="Hz")
        again = brainio.load(made, modality="spikes", units="Hz", time_units="ms")
        np.testing.assert_allclose(again.time.values, rec.time.values)
        np.testing.assert_array_equal(again.values, rec.values)

    def test_time_bins_may_have_names_too(self):
        coords = {"neuroid_id": ("neuroid", ["n"]), "time_bin_start": ("time_bin", [0, 10]),
                  "phase": ("time_bin", ["early", "late"])}  # fmt: skip
        source = xr.DataArray(np.ones((1, 2, 1)), dims=("presentation", "time_bin", "neuroid"), coords=coords)
        rec = brainio.load(source, modality="spikes", units="1", time_units="ms")
        assert rec.attrs["history"][-1]["parameters"]["time_bins"]["phase"] == ["early", "late"]
        assert rec.time.values.tolist() == [0.0, 0.01]

    def test_what_is_no_assembly(self, trials):
        with pytest.raises(ni.LoaderError, match="presentation and neuroid"):
            brainio.load(trials, modality="fmri", units="1")
        bare = xr.DataArray(np.zeros((2, 2)), dims=("presentation", "neuroid"))
        with pytest.raises(ni.LoaderError, match="no neuroid_id"):
            brainio.load(bare, modality="fmri", units="1")
        same = bare.assign_coords(neuroid_id=("neuroid", ["a", "a"]))
        with pytest.raises(ni.RecordingError, match="unit"):
            brainio.load(same, modality="fmri", units="1")
        with pytest.raises(ni.LoaderError, match="dims are"):
            brainio.to_assembly(ni.load("demo-eeg"))


class TestActivationCache:
    def test_it_is_what_record_records(self, small_model, torch):
        model, prompts = small_model("gpt2"), [[3, 4, 5, 6], [7, 8]]
        ours = activations.record(model, prompts, sites="mlp.post")
        cache = {}
        hooks = [
            block.mlp.c_proj.register_forward_pre_hook(
                lambda _, given, name=f"blocks.{k}.mlp.hook_post": cache.__setitem__(name, given[0].detach())
            )
            for k, block in enumerate(model.transformer.h)
        ]
        padded = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]])
        model(padded, attention_mask=(padded > 0).long())
        for hook in hooks:
            hook.remove()
        rec = activation_cache.load(cache, site="blocks.{layer}.mlp.hook_post", tokens=prompts)
        np.testing.assert_allclose(rec.values, ours.values, atol=1e-5)
        for name in ("segment", "position", "token_id", "layer", "index"):
            assert rec[name].values.tolist() == ours[name].values.tolist()
        assert rec.attrs["history"][-1]["parameters"]["padding_dropped"] == 2

    def test_tokens_may_be_a_list_an_array_or_a_tensor(self, torch):
        cache = {"blocks.0.mlp.hook_post": np.zeros((2, 3, 1))}
        for tokens in ([[5, 6, 7], [8, 9, 5]], np.array([[5, 6, 7], [8, 9, 5]]), torch.tensor([[5, 6, 7], [8, 9, 5]])):
            rec = activation_cache.load(cache, site="blocks.{layer}.mlp.hook_post", tokens=tokens)
            assert rec.token_id.values.tolist() == [5, 6, 7, 8, 9, 5]

    def test_heads_left_padding_and_bfloat16(self, torch):
        values = torch.arange(2 * 3 * 2 * 4, dtype=torch.bfloat16).reshape(2, 3, 2, 4)
        given = {"blocks.1.attn.hook_z": values, "hook_embed": torch.zeros(2, 3, 5)}
        rec = activation_cache.load(given, site="blocks.{layer}.attn.hook_z", lengths=[3, 1], padding="left")
        assert dict(rec.sizes) == {"time": 4, "unit": 8}
        np.testing.assert_array_equal(rec.values[3], values[1, 2].reshape(-1).float())
        assert set(rec.layer.values.tolist()) == {1}

    def test_one_prompt_without_its_batch_dim(self):
        class Cache(dict):
            has_batch_dim = False

        rec = activation_cache.load(
            Cache({"blocks.0.hook_resid_post": np.ones((3, 2))}), site="blocks.{layer}.hook_resid_post"
        )
        assert dict(rec.sizes) == {"time": 3, "unit": 2}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "which are padding"),
            ({"lengths": [3]}, "2 lengths from 1 to 3"),
            ({"lengths": [3, 4]}, "2 lengths from 1 to 3"),
            ({"lengths": [3, 0]}, "2 lengths from 1 to 3"),
            ({"lengths": [3, 2], "tokens": [[1, 2, 3], [4]]}, r"lengths are \[3, 2\], of tokens \[3, 1\]"),
            ({"lengths": [3, 2], "padding": "both"}, "'left' or 'right'"),
            ({"lengths": [3, 2], "site": "**"}, "of one shape are needed"),
        ],
    )
    def test_what_cannot_be_known_is_asked_for(self, options, message):
        given = {"a": np.zeros((2, 3, 2)), "pattern": np.zeros((2, 4, 3, 3))}
        with pytest.raises(ni.LoaderError, match=message):
            activation_cache.load(given, **{"site": "a", **options})
