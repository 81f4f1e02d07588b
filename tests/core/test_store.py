import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp import store
from neurointerp.result import result


def test_every_modality_survives_a_round_trip(recordings, tmp_path):
    for modality, rec in recordings.items():
        back = ni.open(ni.save(rec, tmp_path / f"{modality}.zarr"))
        assert back.identical(rec), modality
        assert back["unit"].dtype == object
        assert ni.digest(back) == ni.digest(rec)
        ni.check(back)


def test_missing_values_strings_and_names_survive(tmp_path):
    values = np.array([[1.0, np.nan], [2.0, 3.0]], dtype=np.float32)
    rec = ni.recording(
        values, modality="calcium", units="1", sampling_rate=3.0, unit=["AVAL", "Ünïcode"],
        coords={"token": ("time", ["a", "much longer"])}, name="worm",
    )  # fmt: skip
    back = ni.open(ni.save(rec, tmp_path / "r.zarr"))
    assert back.identical(rec)
    assert back.name == "worm"


def test_a_zip_has_the_same_content_and_the_same_bytes_each_time(recordings, tmp_path):
    rec = recordings["activations"]
    first, second = (ni.save(rec, tmp_path / f"{i}.zarr.zip") for i in range(2))
    assert first.read_bytes() == second.read_bytes()
    assert ni.open(first).identical(rec)


def test_sessions_and_results_survive(recordings, tmp_path):
    tree = ni.session(dict(recordings), events={"onset": [0.0], "trial_type": ["x"]})
    back = ni.open(ni.save(tree, tmp_path / "s.zarr"))
    assert ni.digest(back) == ni.digest(tree)
    assert back["recordings/eeg/recording"].identical(tree["recordings/eeg/recording"])
    features = xr.DataArray(np.eye(2), dims=("component", "unit"))
    ds = result({"features": features}, analysis="a.b", recording=recordings["eeg"], parameters={"rank": 2}, seed=3)
    assert ni.open(ni.save(ds, tmp_path / "r.zarr")).identical(ds)


def test_digest_tells_content_apart(recordings):
    rec = recordings["eeg"]
    changed = rec.copy(deep=True)
    changed[0, 0] += 1e-9
    renamed = rec.assign_coords(unit=[f"x{i}" for i in range(8)])
    assert len({ni.digest(r) for r in (rec, changed, renamed, rec.astype(np.float32), rec.rename("other"))}) == 5


def test_an_existing_store_is_kept_unless_told_otherwise(recordings, tmp_path):
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")
    with pytest.raises(ni.StoreError, match="exists already"):
        ni.save(recordings["fmri"], path)
    assert ni.open(path).attrs["modality"] == "eeg"
    ni.save(recordings["fmri"], path, overwrite=True)
    assert ni.open(path).attrs["modality"] == "fmri"
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_a_failed_save_leaves_what_was_there_and_no_litter(recordings, tmp_path, monkeypatch):
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_swap", fail)
    with pytest.raises(ni.StoreError, match="No space left on device"):
        ni.save(recordings["fmri"], path, overwrite=True)
    assert ni.open(path).identical(recordings["eeg"])
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_values_edited_under_an_inherited_encoding_are_kept(recordings, tmp_path):
    rec = ni.open(ni.save(recordings["eeg"], tmp_path / "a.zarr"))
    rec.encoding["scale_factor"] = 0.1
    before = dict(rec.encoding)
    assert ni.open(ni.save(rec, tmp_path / "b.zarr")).identical(recordings["eeg"])
    assert rec.encoding == before


def test_what_is_no_store_is_one_clear_error(tmp_path):
    with pytest.raises(ni.StoreError, match="no store at"):
        ni.open(tmp_path / "absent.zarr")
    (tmp_path / "text.zarr").write_text("hello")
    with pytest.raises(ni.StoreError, match="cannot be read as a zarr store"):
        ni.open(tmp_path / "text.zarr")
    xr.Dataset({"x": ("t", [1.0])}).to_zarr(tmp_path / "other.zarr", zarr_format=3, consolidated=False)
    with pytest.raises(ni.StoreError, match="not a neurointerp store"):
        ni.open(tmp_path / "other.zarr")
    (tmp_path / "file").write_text("")
    rec = ni.recording(np.zeros((2, 1)), modality="eeg", units="V", sampling_rate=1.0)
    with pytest.raises(ni.StoreError, match="cannot write"):
        ni.save(rec, tmp_path / "file" / "r.zarr")
    with pytest.raises(ni.StoreError, match="cannot store a list"):
        ni.save([1], tmp_path / "x.zarr")


def test_reading_is_lazy(recordings, tmp_path):
    back = ni.open(ni.save(recordings["eeg"], tmp_path / "r.zarr"))
    assert not isinstance(back.variable._data, np.ndarray)
    np.testing.assert_array_equal(back[3:5].values, recordings["eeg"][3:5].values)
