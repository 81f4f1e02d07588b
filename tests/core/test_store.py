"""Stores in their plain use: round trips, overwriting, digests, laziness, what is refused, the first release."""

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import neurointerp as ni
from neurointerp.result import result
from neurointerp.store import chunks, content, digests, staging

DATA = Path(__file__).parent / "data"


def eeg(values, **options):
    return ni.recording(np.asarray(values), modality="eeg", units="V", **({"sampling_rate": 1.0} | options))


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

    for module, step in ((chunks, "_write_chunk"), (digests, "seal"), (staging, "place"), (staging, "exchange")):
        with monkeypatch.context() as patch:
            patch.setattr(module, step, fail)
            with pytest.raises(ni.StoreError, match=r"cannot write .*r\.zarr: No space left on device"):
                ni.save(recordings["fmri"], path, overwrite=True)
        assert ni.open(path, verify=True).identical(recordings["eeg"])
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


def test_a_session_is_kept_whole(recordings, tmp_path):
    names = ["AVAL", "AVAR", "ASHL"]
    chemical = xr.DataArray(
        np.array([[0, 3, 0], [0, 0, 1], [2, 0, 0]]),
        dims=("source", "target"),
        coords={"source": names, "target": names},
    )
    gap = chemical + chemical.T
    wiring = xr.concat([chemical, gap], xr.DataArray(["chemical", "gap"], dims="kind", name="kind"))
    edges = xr.DataArray(
        [0.5, -1.0], dims="edge", coords={"source": ("edge", ["u0", "u1"]), "target": ("edge", ["u1", "u0"])}
    )
    tree = ni.session(
        {"eeg": recordings["eeg"], "fmri": recordings["fmri"]},
        events={"onset": [0.0, 0.5], "trial_type": ["go", "stop"], "correct": [True, False]},
        stimuli={"movie": recordings["stimulus"].drop_vars("stimulus")},
        structure={"connectome": wiring.transpose("source", "target", "kind"), "learned": edges},
        truth={"rank": xr.DataArray(3), "factors": xr.DataArray(np.eye(3), dims=("component", "latent"))},
        attrs={"subject": "w1", "session": "a"},
    )
    path = ni.save(tree, tmp_path / "s.zarr")
    back = ni.open(path, verify=True)
    assert back.identical(tree)
    assert [node.path for node in back.subtree] == [node.path for node in tree.subtree]
    assert ni.digest(back) == ni.digest(tree)
    asymmetric = back["structure/connectome/structure"].sel(kind="chemical")
    assert int(asymmetric.sel(source="AVAL", target="AVAR")) == 3
    assert int(asymmetric.sel(source="AVAR", target="AVAL")) == 0
    assert back["recordings/eeg/recording"].sizes["time"] == 120


def test_names_and_attrs_that_others_give_a_meaning_to_stay_what_they_are(tmp_path):
    rec = eeg(np.arange(4.0).reshape(2, 2), coords={"two words": ("time", ["x", ""]), "on": ("unit", [True, False])})
    rec.attrs |= {"scale_factor": 2.0, "_FillValue": 1.0, "dtype": "bool", "coordinates": "time", "_NCproperties": "x"}
    rec["on"].attrs["units"] = "days since 2000-01-01"
    ds = xr.Dataset({"b": ("t", [1]), "a": ("t", [2])}, attrs={"_nc": 1, "missing_value": 2})
    ds["a"].attrs["units"] = "seconds"
    for obj in (rec, ds):
        back = ni.open(ni.save(obj, tmp_path / "r.zarr", overwrite=True))
        assert back.identical(obj) or isinstance(obj, xr.Dataset)
    assert back["a"].dtype == np.int64
    assert back["a"].attrs == {"units": "seconds"}
    assert list(back.data_vars) == ["b", "a"]


def test_what_would_not_come_back_is_refused_before_anything_is_written(tmp_path):
    good = xr.Dataset({"x": ("t", [1.0])}, attrs={"schema_version": "1"})
    wrong = {
        "names containing the '/' character": good.rename(x="../evil"),
        "the name '..'": xr.DataTree.from_dict({"/": good}).assign({"..": xr.DataTree(good)}),
        "the name 'digests.json'": good.rename(x="digests.json"),
        "the name 3": good.assign({3: ("t", [1.0])}),
        r"holds Python objects \(NoneType\)": good.assign(y=("t", np.array([None], dtype=object))),
        "is a string that ends with NUL": good.assign(y=xr.Variable((), np.array("a\0", dtype=object))),
        "has dtype datetime64": good.assign(y=("t", np.array(["2020-01-01"], dtype="datetime64[ns]"))),
        "has dtype complex256": good.assign(y=("t", np.zeros(1, np.complex256))),
        "'neurointerp', which stores use themselves": good.assign_attrs(neurointerp=1),
        "MiB of attrs": good.assign_attrs(big="x" * 2**25),
        "has a MultiIndex": good.expand_dims(u=[1]).assign_coords(t=[0]).stack(s=["t", "u"]),
    }
    for message, obj in wrong.items():
        with pytest.raises(ni.StoreError, match=message):
            ni.save(obj, tmp_path / "r.zarr")
    broken = good.assign(y=("t", np.array(["a"], dtype=object)))
    broken["y"].values[0] = "\ud800"  # pandas with pyarrow would refuse it at construction
    with pytest.raises(ni.StoreError, match="surrogates not allowed"):
        ni.save(broken, tmp_path / "r.zarr")
    with pytest.raises(ni.StoreError, match="compression is 'zip': one of None, 'lz4'"):
        ni.save(good, tmp_path / "r.zarr", compression="zip")
    with pytest.raises(ni.StoreError, match="stores are written to local folders"):
        ni.save(good, "s3://bucket/r.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_store_is_never_replaced(recordings, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(ni.StoreError, match="is a folder but no store"):
        ni.save(recordings["eeg"], tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_a_link_keeps_pointing_to_the_store(recordings, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "disk" / "r.zarr")
    for name in ("eeg", "fmri"):
        ni.save(recordings[name], tmp_path / "link.zarr", overwrite=True)
        assert (tmp_path / "link.zarr").is_symlink()
        assert ni.open(tmp_path / "disk" / "r.zarr").identical(recordings[name])


def test_a_store_can_be_saved_over_the_one_it_is_read_from(recordings, tmp_path):
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")
    ni.save(ni.open(path)[:60] * 2, path, overwrite=True)
    np.testing.assert_array_equal(ni.open(path), recordings["eeg"].values[:60] * 2)


def test_compression_and_shards_change_no_value(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((5000, 700)).astype(np.float32)
    rec = eeg(values, sampling_rate=100.0)
    rec.values[::7, ::5] = np.nan
    plain = ni.save(rec, tmp_path / "plain.zarr")
    assert (plain / "recording" / "c" / "0" / "0").stat().st_size == 2500 * 350 * 4 + 4
    assert ni.verify(plain) == 4 + 2
    for i, options in enumerate(({"compression": "lz4"}, {"shards": True}, {"compression": "lz4", "shards": True})):
        path = ni.save(rec, tmp_path / f"{i}.zarr", **options)
        assert ni.open(path).identical(rec)
        assert ni.verify(path) == (3 if "shards" in options else 6)
    whole = ni.save(eeg(np.zeros((5000, 700))), tmp_path / "zeros.zarr", compression="lz4")
    assert sum(file.stat().st_size for file in whole.rglob("*") if file.is_file()) < 400_000


def test_other_zarr_readers_see_the_same(recordings, tmp_path):
    rec = recordings["activations"].assign_coords(token=("time", [f"t{i}" for i in range(120)]))
    path = ni.save(rec, tmp_path / "r.zarr")
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["recording"][:], rec.values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)  # digests.json is no part of zarr
        ds = xr.open_dataset(path, engine="zarr", consolidated=False)
    assert set(ds.coords) == set(rec.coords)
    np.testing.assert_array_equal(ds["recording"], rec)


def test_the_digest_reads_in_bounded_memory_and_knows_no_chunks(tmp_path, monkeypatch):
    values = np.random.default_rng(0).standard_normal((40_000, 200))
    values[3, 4] = np.nan
    rec = eeg(values, sampling_rate=1000.0)
    wanted = ni.digest(rec)
    lazy = ni.open(ni.save(rec, tmp_path / "r.zarr"))
    monkeypatch.setattr(content, "BLOCK_BYTES", 2**22)
    assert ni.digest(rec) == wanted
    tracemalloc.start()
    assert ni.digest(lazy) == wanted
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes / 2


@pytest.mark.parametrize("name", ["first_release", "first_release_session"])
def test_stores_of_the_first_release_open_and_are_brought_up_to_date(name, tmp_path):
    old = DATA / f"{name}.zarr.zip"
    obj = ni.open(old)
    known = {
        "first_release": "a477441d33f7eccbe045cbe828bfd77702b5de261423baa5e5b127fadcd27ba7",
        "first_release_session": "9b680e52a0981b15e812df19092c54ba2559765bb5aa337cb5004ddcd25ed68f",
    }
    assert ni.digest(obj) == known[name]  # as any release gives it: results name their recordings by it
    for check in (ni.verify, lambda path: ni.open(path, verify=True)):
        with pytest.raises(ni.StoreError, match=r"a store of the first release, without digests.json .* save it again"):
            check(old)
    path = ni.save(obj, tmp_path / "new.zarr")
    assert ni.verify(path) > 5
    assert ni.open(path).identical(obj)
    rec = obj if name == "first_release" else obj["recordings/calcium/recording"]
    ni.check(rec)
    assert np.isnan(rec.values[1, 2])
    assert rec["unit"].values.tolist() == ["AVAL", "AVAR", "Ünïcode", ""]
    assert rec["is_labeled"].dtype == bool


def test_a_store_of_a_later_release_says_so(recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "LAYOUT", 3)
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")
    monkeypatch.undo()
    with pytest.raises(ni.StoreError, match=r"r\.zarr .*has layout 3, this release reads up to 2: update neurointerp"):
        ni.open(path)
