"""The published flat table: written, read back, read as others write it, and refused where it is not known."""

import numpy as np
import pandas as pd
import pytest

import neurointerp as ni
from neurointerp.loaders.datasets import atanas2023, worm_neurons, worm_table, worm_traces

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'neurointerp[parquet]'")
PUBLISHED = [
    "source_dataset", "raw_data_file", "worm", "neuron", "slot", "is_labeled_neuron", "smooth_method",
    "interpolate_method", "normalization_method", "original_calcium_data", "calcium_data", "original_time_in_seconds",
    "time_in_seconds", "original_max_timesteps", "max_timesteps",
]  # fmt: skip
"""What the authors' `neural_to_parquet.py` writes."""


@pytest.fixture
def worms():
    """Two worms with different names, one of them with a missing stretch, an ambiguous and a repeated label."""
    out = {}
    for seed, labels in enumerate((["AVAL", "VB02", "SIA?L", "AVAL", "12"], ["AVAR", "", "AVAL"])):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(60 + seed, len(labels))).cumsum(axis=0)
        values[10:14, 0] = np.nan
        rec = worm_traces.worm(
            values, 3.0 + np.arange(60 + seed) * 0.6, labels, function="made", attrs={"source": f"raw{seed}.mat"}
        )
        out[f"worm{seed}"] = worm_traces.copies(rec, target_dt=0.5)
    return out


def test_what_is_written_comes_back(worms, tmp_path):
    path = worm_table.save(worms, tmp_path / "worms.parquet", source_dataset="Made2024")
    back = worm_table.load_all(path)
    assert list(back) == ["Made2024/worm0", "Made2024/worm1"]
    for name, held in worms.items():
        tree = worm_table.load_session(path, worm=f"Made2024/{name}")
        ni.check(back[f"Made2024/{name}"])
        for kind in ("calcium", "residual", "calcium_smooth", "residual_smooth"):
            rec = tree[f"recordings/{kind}/recording"]
            np.testing.assert_array_equal(rec, held[kind], err_msg=kind)
            np.testing.assert_array_equal(rec.time, held[kind].time)
            for coord in ("unit", "is_labeled", "label", "candidates", "cell_class", "hemisphere"):
                np.testing.assert_array_equal(rec[coord], held[kind][coord], err_msg=coord)
            assert rec.attrs["units"] == held[kind].attrs["units"]
        original = tree["recordings/original/recording"]
        there = held["calcium"].column.values
        scaled = worm_traces.normalised(held["original"].values)[:, there]
        np.testing.assert_array_equal(original, np.where(there >= 0, scaled, np.nan))
        np.testing.assert_array_equal(original.time, held["original"].time)
        assert original.attrs["source"] == held["original"].attrs["source"]
        assert tree["recordings/calcium/recording"].attrs["original_dt"] == pytest.approx(0.6)


def test_one_row_per_worm_and_neuron_in_the_published_columns(worms, tmp_path):
    path = worm_table.save(worms, tmp_path / "worms.parquet", source_dataset="Made2024")
    table = pd.read_parquet(path)
    assert set(PUBLISHED) <= set(table.columns)
    assert len(table) == 5 + 3
    first = table[table.worm == "worm0"].set_index("neuron")
    assert dict(first.is_labeled_neuron) == {"AVAL": True, "VB2": True, "u000": False, "u001": False, "u002": False}
    assert list(first.label) == ["AVAL", "VB02", "SIA?L", "AVAL", ""]
    order = worm_neurons.order(300)
    assert dict(first.slot) == {"AVAL": order.index("AVAL"), "VB2": order.index("VB2"), "u000": 300, "u001": 301,
                                "u002": 302}  # fmt: skip
    np.testing.assert_array_equal(first.calcium_data["VB2"], worms["worm0"]["calcium"].sel(unit="VB2"))
    assert set(first.smooth_method) == {"gaussian"}
    assert (table.calcium_data.map(len) == table.max_timesteps).all()


def test_a_table_as_others_write_it(tmp_path):
    """float32, another order of columns, one of them by an older name, and unlabelled rows in the slots of names."""
    rng = np.random.default_rng(0)
    clock = (np.arange(40) * 0.333).astype(np.float32)
    rows = [
        {
            "source_dataset": "Kato2015", "raw_data_file": "WT_Stim.mat", "worm": "worm3", "neuron": neuron,
            "slot": slot, "is_labeled": labeled, "smooth_method": "no smoothing", "interpolate_method": "linear",
            "normalization_method": "standard", "original_calcium_data": rng.normal(size=30).astype(np.float32),
            "calcium_data": rng.normal(size=40).astype(np.float32), "time_in_seconds": clock, "max_timesteps": 40,
            "original_time_in_seconds": np.arange(30, dtype=np.float32) / 2, "original_max_timesteps": 30,
        }
        for neuron, slot, labeled in (("AVAL", 80, True), ("17", 3, False), ("RIMR", 5, False), ("CANL", -1, True))
    ]  # fmt: skip
    table = pd.DataFrame(rows[:3])[[*reversed(rows[0])]]
    table.to_parquet(tmp_path / "t.parquet")
    rec = worm_table.load(tmp_path / "t.parquet")
    ni.check(rec)
    assert tuple(rec.unit.values) == (*worm_neurons.order(300), "u000", "u001")
    assert list(rec.unit.values[rec.notnull().any("time")]) == ["AVAL", "u000", "u001"]
    assert [int(rec.slot.sel(unit=unit)) for unit in ("AVAL", "u000", "u001", "RIMR")] == [80, 3, 5, -1]
    np.testing.assert_array_equal(rec.sel(unit="u001"), rows[2]["calcium_data"].astype(np.float64))
    assert rec.attrs["dt"] == pytest.approx(0.333, abs=1e-6)
    assert rec.attrs["history"][-1]["parameters"]["smooth_method"] == "no smoothing"
    assert worm_table.load_session(tmp_path / "t.parquet")["recordings/original/recording"].sizes["time"] == 30
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ni.LoaderError, match="worm worm3 of Kato2015 labels CANL: no neuron of the order, or one that"):
        worm_table.load(tmp_path / "t.parquet")


def test_columns_that_are_not_known_are_refused_with_what_is_there(worms, tmp_path):
    path = worm_table.save(worms, tmp_path / "worms.parquet", source_dataset="Made2024")
    table = pd.read_parquet(path)
    table.assign(mood=1).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ni.LoaderError, match=r"columns that are not known: mood; it has source_dataset, .*; known are"):
        worm_table.load_all(tmp_path / "t.parquet")
    table.drop(columns="neuron").to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ni.LoaderError, match="no column neuron; it has"):
        worm_table.load(tmp_path / "t.parquet", worm="Made2024/worm0")
    table.assign(dataset="x").to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ni.LoaderError, match="two columns of one meaning"):
        worm_table.load_all(tmp_path / "t.parquet")


def test_malformed(worms, tmp_path):
    path = worm_table.save(worms, tmp_path / "worms.parquet", source_dataset="Made2024")
    with pytest.raises(ni.LoaderError, match=r"it holds 2 worms; pass worm= one of Made2024/worm0, Made2024/worm1"):
        worm_table.load(path)
    with pytest.raises(ni.LoaderError, match="no worm 'worm0'; pass one of Made2024/worm0"):
        worm_table.load(path, worm="worm0")
    with pytest.raises(ni.LoaderError, match="exists already; pass overwrite=True"):
        worm_table.save(worms, path, source_dataset="Made2024")
    with pytest.raises(ni.LoaderError, match="worm 'a' is not homogenised: pass it through"):
        worm_table.save({"a": worms["worm0"]["original"]}, path, source_dataset="x", overwrite=True)
    with pytest.raises(ni.LoaderError, match="no worm has a neuron with a value; nothing is written"):
        worm_table.save({}, tmp_path / "none.parquet", source_dataset="x")
    assert [file.name for file in tmp_path.iterdir()] == ["worms.parquet"]
    table = pd.read_parquet(path)
    table.at[1, "time_in_seconds"] = table.time_in_seconds[1] + 1.0
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ni.LoaderError, match="calcium_data of neuron VB2 has another length or clock than the first"):
        worm_table.load(tmp_path / "t.parquet", worm="Made2024/worm0")
    table = pd.read_parquet(path)
    table.at[1, "calcium_data"] = None
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ni.LoaderError, match="calcium_data of neuron VB2 of worm worm0 is empty: leave it out"):
        worm_table.load(tmp_path / "t.parquet", worm="Made2024/worm0")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ni.LoaderError, match="cannot be read as parquet"):
        worm_table.load(tmp_path / "t.parquet")


def test_real_worms(mirror, tmp_path):
    names = ("2022-07-26-31", "2022-07-26-38")
    trees = {f"Dag2023/{name}": ni.load_session("dag2023-common", name, mirror=mirror) for name in names}
    trees["atanas2023"] = atanas2023.load(mirror / "calcium/wormwideweb_json/time_trace.json", homogenised=True)
    path = worm_table.save(trees, tmp_path / "worms.parquet", source_dataset="Flavell2023")
    back = worm_table.load_all(path)
    assert list(back) == ["Dag2023/2022-07-26-31", "Dag2023/2022-07-26-38", "Flavell2023/atanas2023"]
    table = pd.read_parquet(path, columns=["worm", "is_labeled_neuron"])
    assert dict(table.worm.value_counts()) == {"2022-07-26-31": 146, "2022-07-26-38": 141, "atanas2023": 98}
    for name in names:
        wanted = trees[f"Dag2023/{name}"]["recordings/calcium/recording"]
        np.testing.assert_array_equal(back[f"Dag2023/{name}"], wanted)
        labelled = table[(table.worm == name) & table.is_labeled_neuron]
        assert len(labelled) == wanted.attrs["labeled"]
