"""Every raw calcium file against an independent reading: counts, clocks, labels, and the malformed."""

import json
import re
from datetime import datetime

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

import neurointerp as ni
from neurointerp import holdings
from neurointerp.loaders.datasets import (
    atanas2023,
    bryant2022,
    chae2019,
    dag2023,
    kaplan2020,
    kato2015,
    nichols2017,
    randi2023,
    seeelegans2024,
    skora2018,
    uzel2022,
    worm_neurons,
)

CALCIUM = "calcium"
ZIMMER = f"{CALCIUM}/kato2015_layout/WT_NoStim_layout.mat"
WORMS = {"2022-07-26-31": (146, 99), "2022-07-26-38": (141, 84)}
DAG = f"{CALCIUM}/flavell_dag2023"
JSON = f"{CALCIUM}/wormwideweb_json/time_trace.json"
SEE = f"{CALCIUM}/seeelegans/Dataset2.mat"
BRYANT = f"{CALCIUM}/hallem_bryant2022"
CHAE = f"{CALCIUM}/mitral_chae2019"

TABLE = {
    # file: (loader, options, time, unit, seconds, labelled)
    f"{DAG}/2022-01-16-01-data.h5": (dag2023, {}, 799, 130, 588.666, 0),
    f"{DAG}/2022-07-26-31-data.h5": (dag2023, {"labels": "2022-07-26-31-labels.csv"}, 800, 146, 480.665, 100),
    f"{DAG}/2022-07-26-38-data.h5": (dag2023, {"labels": "2022-07-26-38-labels.csv"}, 800, 141, 480.620, 87),
    ZIMMER: (kato2015, {"worm": "2022-07-26-31"}, 800, 146, 480.665, 99),
    JSON: (atanas2023, {}, 1600, 98, 961.905, 0),
    SEE: (seeelegans2024, {"sampling_rate": 2.0}, 1161, 118, 580.0, 11),
    f"{BRYANT}/IK890_pF_PT/200305_001.csv": (bryant2022, {}, 2161, 4, 1079.623, None),
    f"{BRYANT}/IK890_pF_PT/200305_002.csv": (bryant2022, {}, 2161, 4, 1079.651, None),
    f"{BRYANT}/XL115_pF_PT_Expanded/201020_001.csv": (bryant2022, {}, 2761, 4, 1379.629, None),
    f"{BRYANT}/pASB52_pF_PT/200312_001.csv": (bryant2022, {}, 2161, 4, 1079.643, None),
}


@pytest.mark.parametrize("file", TABLE)
def test_counts(mirror, file):
    loader, options, frames, neurons, seconds, labelled = TABLE[file]
    options = {key: (mirror / file).parent / value if key == "labels" else value for key, value in options.items()}
    rec = loader.load(mirror / file, **options)
    assert rec.sizes == {"time": frames, "unit": neurons}
    assert float(rec.time[-1]) == pytest.approx(seconds, abs=1e-3)
    assert (float(rec.time[0]), rec.attrs["modality"], rec.attrs["units"]) == (0.0, "calcium", "1")
    if labelled is not None:
        assert int(rec.is_labeled.sum()) == labelled


class TestZimmerLayout:
    def test_traces_clock_and_names(self, mirror):
        worms = kato2015.load_all(mirror / ZIMMER)
        assert list(worms) == list(WORMS)
        with h5py.File(mirror / ZIMMER) as file:
            for place, (name, rec) in enumerate(worms.items()):
                cells = {key: file[cell[place, 0]] for key, cell in file["WT_NoStim"].items()}
                np.testing.assert_array_equal(rec.values, cells["deltaFOverF_bc"][()].T)
                stamps = cells["tv"][()].ravel()
                np.testing.assert_array_equal(rec.time, stamps - stamps[0])
                assert rec.attrs["history"][-1]["parameters"]["first_stamp"] == stamps[0]
                names = [
                    bytes(file[ref][()].astype(np.uint8).ravel()).decode() for ref in cells["NeuronNames"][()].ravel()
                ]
                named = [text for text in names if not text.isnumeric()]
                assert [str(unit) for unit in rec.unit.values if not re.fullmatch(r"u\d{3}", str(unit))] == named
                assert rec.attrs["session"] == name

    def test_it_is_the_worm_of_the_other_container(self, mirror):
        """The emulated file holds the values of Dag et al.: both readers must agree on every neuron."""
        for name, (neurons, named) in WORMS.items():
            ours = kato2015.load(mirror / ZIMMER, worm=name, homogenised=True)
            theirs = dag2023.load(
                mirror / DAG / f"{name}-data.h5", labels=mirror / DAG / f"{name}-labels.csv", homogenised=True,
                signal="trace_array_original",
            )  # fmt: skip
            assert ours.sizes["unit"] == theirs.sizes["unit"] == 300 + neurons - int(ours.attrs["labeled"])
            assert ours.attrs["labeled"] >= named
            shared = ours.isel(unit=np.flatnonzero(ours.is_labeled))
            np.testing.assert_array_equal(
                shared.notnull().any("time"), theirs.sel(unit=shared.unit).notnull().any("time")
            )

    def test_session_has_states(self, mirror):
        tree = kato2015.load_session(mirror / ZIMMER, worm="2022-07-26-31", homogenised=True)
        assert list(tree["recordings"]) == ["calcium", "residual", "calcium_smooth", "residual_smooth", "original"]
        events = tree["events"].to_dataset()
        with h5py.File(mirror / ZIMMER) as file:
            states = file[file["WT_NoStim/States"][0, 0]]
            time = tree["recordings/original/recording"].time.values
            for state in states:
                inside = np.zeros(len(time), dtype=bool)
                rows = events.isel(event=events.trial_type.values == state)
                for onset, duration in zip(rows.onset.values, rows.duration.values, strict=True):
                    inside |= (time >= onset - 1e-9) & (time < onset + duration - 1e-9)
                np.testing.assert_array_equal(inside, states[state][()].ravel() > 0, err_msg=state)

    def test_which_worm(self, mirror):
        with pytest.raises(ni.LoaderError, match="it holds 2 worms; pass worm= one of 2022-07-26-31, 2022-07-26-38"):
            kato2015.load(mirror / ZIMMER)
        with pytest.raises(ni.LoaderError, match="no worm 'x'; pass one of 2022-07-26-31"):
            kato2015.load(mirror / ZIMMER, worm="x")
        with pytest.raises(ni.LoaderError, match=r"one struct of worms is needed, found .*gcamp"):
            kato2015.load(mirror / DAG / "2022-07-26-31-data.h5")

    @pytest.mark.parametrize(
        ("loader", "fields"),
        [
            (kato2015, ("traces", "IDs", "timeVectorSeconds")),
            (nichols2017, ("traces", "IDs", "timeVectorSeconds")),
            (skora2018, ("traces", "IDs", "timeVectorSeconds")),
            (kaplan2020, ("traces_bleach_corrected", "neuron_ID", "time_vector")),
            (uzel2022, ("traces", "IDs", "tv")),
        ],
    )
    def test_every_paper_of_the_lab(self, tmp_path, loader, fields):
        """Published field names; labels as lists of candidates, one of them ambiguous, one repeated, one empty."""
        values = np.random.default_rng(0).normal(size=(30, 5))
        labels = [["AVAL"], ["VB02", "VB02"], ["RIVL", "RIVR"], [""], ["AVAL"]]
        zimmer(tmp_path / "w.mat", fields, values, np.arange(30) / 3, labels)
        rec = loader.load(tmp_path / "w.mat")
        np.testing.assert_array_equal(rec.values, values)
        assert list(rec.unit.values) == ["AVAL", "VB02", "RIVL/RIVR", "u003", "u004"]
        assert list(rec.is_labeled.values) == [True, True, False, False, False]
        assert str(rec.candidates[2].values) == "RIVL,RIVR"
        out = loader.load_session(tmp_path / "w.mat", homogenised=True)["recordings/calcium/recording"]
        assert list(out.unit.values[out.notnull().any("time")]) == ["AVAL", "VB2", "u000", "u001", "u002"]
        assert list(loader.load_all(tmp_path / "w.mat", homogenised=True)) == ["worm0"]
        assert rec.attrs["citation"] == loader.ABOUT["citation"]
        name = loader.__name__.rpartition(".")[2]
        entry = ni.datasets()[name]
        assert (entry.address, entry.citation) == (loader.ADDRESS, loader.ABOUT["citation"])
        (tmp_path / "w.mat").rename(tmp_path / entry.files[0].replace("*", "x"))
        mine = holdings.adopt(name, tmp_path, tmp_path / "mine.yaml")
        np.testing.assert_array_equal(ni.load(name, "worm0", manifest=mine), values)

    def test_malformed(self, tmp_path):
        fields = ("traces", "IDs", "timeVectorSeconds")
        values, labels = np.ones((4, 2)), [["AVAL"], ["AVAR"]]
        zimmer(tmp_path / "w.mat", fields, values, [0.0, 0.5, 0.4, 1.0], labels)
        with pytest.raises(ni.LoaderError, match=r"time must increase strictly: stamp 2 \(0\.4\) follows 0\.5"):
            kato2015.load(tmp_path / "w.mat")
        zimmer(tmp_path / "w.mat", fields, values, np.arange(3.0), labels)
        with pytest.raises(
            ni.LoaderError, match=r"traces of \(4, 2\) \(time, neuron\) for 3 stamps and 2 neuron names"
        ):
            kato2015.load(tmp_path / "w.mat")
        zimmer(tmp_path / "w.mat", ("dff", "IDs", "tv"), values, np.arange(4.0), labels)
        with pytest.raises(
            ni.LoaderError, match="no field deltaFOverF_bc or traces or traces_bleach_corrected; it has"
        ):
            kato2015.load(tmp_path / "w.mat")
        with h5py.File(tmp_path / "w.mat", "w") as file:
            for name, count in zip(fields, (2, 1, 2), strict=True):
                refs = [file.create_dataset(f"#refs#/{name}{i}", data=np.ones((2, 4))).ref for i in range(count)]
                file.create_dataset(f"worms/{name}", data=np.array(refs, dtype=h5py.ref_dtype)[:, None])
        with pytest.raises(ni.LoaderError, match="different numbers of worms: traces 2, timeVectorSeconds 2, IDs 1"):
            kato2015.load(tmp_path / "w.mat")


def zimmer(path, fields, values, time, labels):
    """Write one worm as MATLAB's v7.3 does: fields are cells, labels cells of cells of text."""

    def text(file, name, value):
        cell = file.create_dataset(
            f"#refs#/{name}", data=np.array([[ord(c)] for c in value] or [[0, 0]], dtype=np.uint16)
        )
        cell.attrs["MATLAB_class"] = np.bytes_(b"char")
        if not value:
            cell.attrs["MATLAB_empty"] = 1
        return cell.ref

    with h5py.File(path, "w") as file:
        outer = []
        for place, several in enumerate(labels):
            inner = [text(file, f"t{place}_{i}", value) for i, value in enumerate(several)]
            outer.append(file.create_dataset(f"#refs#/l{place}", data=np.array([inner], dtype=h5py.ref_dtype)).ref)
        held = (
            file.create_dataset("#refs#/x", data=values.T),
            file.create_dataset("#refs#/n", data=np.array([outer], dtype=h5py.ref_dtype)),
            file.create_dataset("#refs#/t", data=np.array([time])),
        )
        for name, item in zip(fields, held, strict=True):
            file.create_dataset(f"worms/{name}", data=np.array([[item.ref]], dtype=h5py.ref_dtype))


class TestDag2023Homogenised:
    def test_uncertain_labels_keep_candidates(self, mirror):
        name = "2022-07-26-31"
        rec = dag2023.load(
            mirror / DAG / f"{name}-data.h5", labels=mirror / DAG / f"{name}-labels.csv", homogenised=True
        )
        assert (rec.attrs["labeled"], rec.attrs["unlabeled"], rec.attrs["dt"]) == (99, 47, 1 / 3)
        loose = rec.isel(unit=np.flatnonzero(rec.label.values == "SAAD?"))
        assert list(loose.candidates.values) == ["SAADL,SAADR"]
        assert not loose.is_labeled.any()
        assert rec.sel(unit=["SAADL", "SAADR"]).isnull().all()
        table = pd.read_csv(mirror / DAG / f"{name}-labels.csv").set_index("label")
        with h5py.File(mirror / DAG / f"{name}-data.h5") as file:
            traces, stamps = file["gcamp/trace_array"][()], file["timing/timestamp_confocal"][()]
        for label in ("RIAR", "AVAL", "RMDVL"):
            trace = traces[:, table.neuron[label] - 1]
            scaled = (trace - trace.mean()) / trace.std()
            expected = np.interp(rec.time, stamps - stamps[0], scaled)
            np.testing.assert_allclose(rec.sel(unit=label), expected, atol=1e-9, err_msg=label)
        with_all = dag2023.load_session(mirror / DAG / f"{name}-data.h5", homogenised=True)
        assert {"calcium", "residual", "original", "velocity"} <= set(with_all["recordings"])


class TestAtanas2023:
    def test_the_list_is_unlabelled(self, mirror):
        rec = atanas2023.load(mirror / JSON)
        rows = json.loads((mirror / JSON).read_text())
        np.testing.assert_array_equal(rec.values, np.array([values for _, values in rows]))
        np.testing.assert_array_equal(rec.time, [time for time, _ in rows])
        assert not rec.is_labeled.any()
        out = atanas2023.load(mirror / JSON, homogenised=True)
        assert (out.sizes["unit"], out.attrs["labeled"], out.attrs["unlabeled"]) == (398, 0, 98)

    def test_behaviour_of_a_mapping(self, tmp_path):
        held = {"trace_array": np.eye(3, 8).tolist(), "timestamp_confocal": list(range(8)), "velocity": [0.1] * 8,
                "pumping": [1.0], "labeled": {}}  # fmt: skip
        (tmp_path / "w.json").write_text(json.dumps(held))
        assert list(atanas2023.load_session(tmp_path / "w.json")["recordings"]) == ["calcium", "velocity"]

    def test_malformed(self, tmp_path):
        path = tmp_path / "w.json"
        for text, message in {
            "[[0, [1, 2]], [1, [1]]]": "frames hold different numbers of neurons: 1 to 2",
            '{"traces": 1}': "or a list of [time, values], is needed; found traces",
            '{"trace_array": [[1, 2]], "timestamp_confocal": [0, 1, 2]}': "shape (1, 2) (neuron, time) for 3 time",
            '{"trace_array": [[1, 2]], "timestamp_confocal": [1, 0]}': "time must increase strictly",
            '{"trace_array": [[1, 2]], "timestamp_confocal": [0, 1], "labeled": {"2": {"label": "AVAL"}}}':
                "labeled names neuron 2 outside 1 to 1",
            "{": "cannot be read as JSON",
        }.items():  # fmt: skip
            path.write_text(text)
            with pytest.raises(ni.LoaderError, match=re.escape(message)):
                atanas2023.load(path)


class TestSeeElegans2024:
    def test_against_scipy(self, mirror):
        rec = seeelegans2024.load(mirror / SEE)
        held = scipy.io.loadmat(mirror / SEE, simplify_cells=True)
        coords = np.stack([entry["coords"] for entry in held["neurons_cleaned"]], axis=2)
        np.testing.assert_array_equal(rec.values, coords[:, 4])
        assert (rec.time.dtype, rec.time.attrs["units"], int(rec.time[0])) == (np.int64, "frame", 1)
        np.testing.assert_allclose(rec.position_x, np.nanmean(coords[:, 0], axis=0))
        labels = dict(zip(held["neurons_identified"]["id"], held["neurons_identified"]["name"], strict=True))
        assert {int(n): str(rec.label[n - 1].values) for n in labels} == labels
        assert rec.unit.values[23] == "RMED/RID"
        assert str(rec.candidates[23].values) == "RID,RMED"

    def test_frames_are_not_seconds(self, mirror):
        with pytest.raises(
            ni.LoaderError, match="the file states no frame rate; pass sampling_rate= in Hz to homogenise"
        ):
            seeelegans2024.load(mirror / SEE, homogenised=True)
        tree = seeelegans2024.load_session(mirror / SEE, sampling_rate=2.0, homogenised=True)
        out = tree["recordings/calcium/recording"]
        assert (out.attrs["labeled"], out.attrs["unlabeled"]) == (11, 107)
        assert out.sel(unit=["RMED", "RID"]).isnull().all()
        assert tree["structure/position/structure"].sizes == {"time": 1161, "axis": 3, "unit": 118}
        other = scipy.io.loadmat(mirror / SEE)
        assert "neurons_cleaned" in other
        with pytest.raises(ni.LoaderError, match="no neurons_cleaned, neurons_identified"):
            seeelegans2024.load(mirror / CHAE / "mh_field_of_view_6.mat")


class TestBryant2022:
    def test_against_pandas(self, mirror):
        path = mirror / BRYANT / "IK890_pF_PT/200305_001.csv"
        rec = bryant2022.load(path)
        table = pd.read_csv(path, skiprows=[1], encoding="utf-8-sig")
        cfp = table.filter(like="CFP.Intensity").iloc[:, 0].to_numpy()
        yfp = table.filter(like="YFP.Intensity").iloc[:, 0].to_numpy()
        for unit, values in {"soma_CFP": cfp[::2], "background_CFP": cfp[1::2], "soma_YFP": yfp[::2]}.items():
            np.testing.assert_array_equal(rec.sel(unit=unit), values)
        texts = table.filter(like="CFP.Image Acquisition").iloc[::2, 0]
        stamps = [datetime.fromisoformat(text[:26]) for text in texts]
        seconds = [(stamp - stamps[0]).total_seconds() for stamp in stamps]
        np.testing.assert_allclose(rec.time, seconds, atol=2e-6)
        assert "sampling_rate" not in rec.attrs
        assert rec.attrs["history"][-1]["parameters"]["start"] == "2020-03-05T13:42:33.1945610"
        assert (rec.sel(unit="soma_YFP") > rec.sel(unit="background_YFP")).all()

    def test_other_tables(self, mirror, tmp_path):
        with pytest.raises(ni.LoaderError, match=r"no column Channel_1_CFP\.Intensity Mean Value; it has neuron"):
            bryant2022.load(mirror / DAG / "2022-07-26-31-labels.csv")
        lines = (mirror / BRYANT / "IK890_pF_PT/200305_001.csv").read_text("utf-8").splitlines()
        (tmp_path / "odd.csv").write_text("\n".join(lines[:5]), "utf-8")
        with pytest.raises(ni.LoaderError, match=r"two rows per frame \(soma, background\) are needed, found 3 rows"):
            bryant2022.load(tmp_path / "odd.csv")


class TestChae2019:
    def test_against_scipy(self, mirror):
        path = mirror / CHAE / "mh_field_of_view_6.mat"
        tree = chae2019.load_session(path, properties=mirror / CHAE / "dragon_property_matrix.mat")
        rec, held = tree["recordings/calcium/recording"], scipy.io.loadmat(path)
        assert rec.sizes == {"trial": 55, "unit": 143}
        np.testing.assert_array_equal(rec.values, held["R"])
        np.testing.assert_array_equal(tree["structure/p_value/structure"], held["P"])
        np.testing.assert_array_equal(rec.coordinate_1, held["x"].ravel())
        assert list(rec.stimulus.values[:2]) == ["odour01", "odour02"]
        properties = scipy.io.loadmat(mirror / CHAE / "dragon_property_matrix.mat")["dragon_property_matrix"]
        np.testing.assert_array_equal(tree["stimuli/properties/stimulus"], properties.T)
        with pytest.raises(ni.LoaderError, match="no R, P, x, y; a field of view of Chae 2019 is needed"):
            chae2019.load(mirror / CHAE / "dragon_property_matrix.mat")


class TestRandi2023:
    def test_class_names_and_missing_values(self, tmp_path):
        values = np.random.default_rng(0).normal(size=(40, 4))
        values[:, 1], values[5, 0] = np.nan, np.nan
        np.savetxt(tmp_path / "3_gcamp.txt", values)
        np.savetxt(tmp_path / "3_t.txt", np.arange(40) * 0.5)
        (tmp_path / "3_labels.txt").write_text("AVAL\nAWA\n\nAVAL\nextra\n")
        rec = randi2023.load(tmp_path / "3_gcamp.txt")
        np.testing.assert_allclose(rec.values, values)
        assert list(rec.unit.values) == ["AVAL", "AWA", "u002", "u003"]
        out = randi2023.load(tmp_path / "3_gcamp.txt", homogenised=True, target_dt=0.5)
        assert int(out.sel(unit="AVAL").isnull().sum()) == 1
        assert out.sel(unit=["AWAL", "AWAR", "u000"]).isnull().all()
        assert str(out.sel(unit="u000").candidates.values) == "AWAL,AWAR"
        (tmp_path / "3_labels.txt").write_text("AVAL\n")
        with pytest.raises(ni.LoaderError, match=r"shape \(40, 4\) for 40 time stamps and 1 labels"):
            randi2023.load(tmp_path / "3_gcamp.txt")


def test_homogenised_worms_share_one_order(mirror):
    worms = [
        kato2015.load(mirror / ZIMMER, worm="2022-07-26-38", homogenised=True),
        atanas2023.load(mirror / JSON, homogenised=True),
        seeelegans2024.load(mirror / SEE, sampling_rate=2.0, homogenised=True),
        dag2023.load(mirror / DAG / "2022-01-16-01-data.h5", homogenised=True),
    ]
    for worm in worms:
        assert tuple(worm.unit.values[:300]) == worm_neurons.order(300)
        np.testing.assert_array_equal(worm.time, np.arange(worm.sizes["time"]) * (1 / 3))
        values = worm.values[:, worm.column.values >= 0]
        assert np.abs(np.nanmean(values, axis=0)).max() < 0.05
        assert worm.attrs["labeled"] + worm.attrs["unlabeled"] == values.shape[1]
