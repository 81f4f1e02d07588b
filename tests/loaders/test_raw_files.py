"""Every raw file of spikes and calcium in the mirror: what it gives, against a reading with h5py, scipy, pandas, numpy.

A file that is no recording is listed with the reason, so that each is accounted for.
"""

import json
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io

import neurointerp as ni
from neurointerp.loaders import calcium, spikes
from neurointerp.loaders.datasets import (
    atanas2023,
    bryant2022,
    chae2019,
    dag2023,
    kato2015,
    seeelegans2024,
    triplett2018,
)

ALF = "spikes/ibl_alf"
PHY = "spikes/phy_template"
PATCH = "spikes/intracellular_lantyer2018/LantyerEtAl2018_171220_NC_156_ST100_C.nwb"
UNITS = "spikes/pynapple_nwb/A8604-211122.nwb"
HOPPER = "spikes/nitime_grasshopper/grasshopper_spike_times1.txt"
DAG = "calcium/flavell_dag2023"
HALLEM = "calcium/hallem_bryant2022"
KATO = "calcium/kato2015_layout/WT_NoStim_layout.mat"
MITRAL = "calcium/mitral_chae2019"
OPHYS = "calcium/nwb_ophys/sub-worm_ses-2022-07-26-38_ophys.nwb"
SEE = "calcium/seeelegans/Dataset2.mat"
PLANE = "calcium/suite2p_pynapple/suite2p/plane0"
WEB = "calcium/wormwideweb_json"
LARVA = "calcium/zebrafish_triplett2018/zf_20170215-f3"


@dataclass
class Row:
    """What a file must give: `read(path)` it with ours, `values(path)` with another library."""

    path: str
    read: Any
    modality: str
    dims: tuple
    rate: float | None
    units: str
    labels: tuple
    values: Any
    used: tuple = ()
    times: Any = None
    clock: str = "s"


def binned(times, owners, width):
    """Count with numpy alone: bins closed on the left."""
    ids, inverse = np.unique(owners, return_inverse=True)
    out = np.zeros((int(np.floor(times.max() / width)) + 1, ids.size), dtype=np.int64)
    np.add.at(out, (np.searchsorted(np.arange(len(out) + 1) * width, times, "right") - 1, inverse), 1)
    return out


def alf(path):
    return binned(np.load(path / "spikes.times.npy"), np.load(path / "spikes.clusters.npy"), 0.05)


def phy(path):
    samples, clusters = (np.load(path / f"spike_{name}.npy")[:, 0].astype(np.int64) for name in ("times", "clusters"))
    return binned(samples / 25_000, clusters, 0.1)


def units_of_nwb(path):
    with h5py.File(path) as file:
        times, ends = file["units/spike_times"][()], file["units/spike_times_index"][()]
    return binned(times, np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0)), 0.1)


def patch(name, group):
    def read(path):
        full = f"{group.split('/')[0]}/{name}"
        return spikes.load_session(path, signals=[full])[f"recordings/{full.replace('/', '_')}/recording"]

    def values(path):
        with h5py.File(path) as file:
            data = file[f"{group}/{name}/data"]
            return (data[()] * data.attrs["conversion"])[:, None]

    modality, units = ("ieeg", "A") if group == "acquisition" else ("stimulus", "V")
    return Row(PATCH, read, modality, (55_000, 1), 50_000.0, units, (name, name), values)


def worm(name, size, labels, table=True):
    def read(path):
        return dag2023.load(path, labels=path.with_name(f"{name}-labels.csv") if table else None)

    used = (f"{DAG}/{name}-labels.csv",) if table else ()
    path = f"{DAG}/{name}-data.h5"
    return Row(
        path, read, "calcium", size, None, "1", labels, lambda path: h5(path, "gcamp/trace_array"), used,
        lambda path: since_first(h5(path, "timing/timestamp_confocal")),
    )  # fmt: skip


def since_first(stamps):
    return stamps - stamps[0]


def h5(path, name):
    with h5py.File(path) as file:
        return file[name][()]


def ramp(name, frames):
    def values(path):
        table = pd.read_csv(path, skiprows=[1], encoding="utf-8-sig")
        columns = [f"Channel_{i}_{dye}.Intensity Mean Value" for i, dye in ((1, "CFP"), (2, "YFP"))]
        found = [table[next(c for c in table.columns if c.startswith(column))].to_numpy() for column in columns]
        return np.stack([found[0][::2], found[1][::2], found[0][1::2], found[1][1::2]], axis=1)

    def times(path):
        table = pd.read_csv(path, skiprows=[1], encoding="utf-8-sig")
        texts = table[next(c for c in table.columns if c.startswith("Channel_1_CFP.Image Acquisition"))].iloc[::2]
        return since_first(pd.to_datetime(texts).astype("datetime64[ns]").astype(np.int64).to_numpy()) / 1e9

    labels = ("soma_CFP", "background_YFP")
    path = f"{HALLEM}/{name}.csv"
    return Row(path, bryant2022.load, "calcium", (frames, 4), None, "1", labels, values, times=times)


def layout(worm, place, size, labels):
    def held(path, name):
        with h5py.File(path) as file:
            return file[np.ravel(file[f"WT_NoStim/{name}"][()])[place]][()]

    return Row(
        KATO, lambda path: kato2015.load(path, worm=worm), "calcium", size, None, "1", labels,
        lambda path: held(path, "deltaFOverF_bc").T, times=lambda path: since_first(np.ravel(held(path, "tv"))),
    )  # fmt: skip


def suite2p(signal):
    def read(path):
        return calcium.load(path.parent, signal=signal, sampling_rate=30.0, cells_only=False)

    used = (f"{PLANE}/iscell.npy", f"{PLANE}/stat.npy")
    labels = ("roi0", "roi218")
    return Row(
        f"{PLANE}/{signal}.npy", read, "calcium", (2000, 219), 30.0, "1", labels, lambda path: np.load(path).T, used
    )


def tracked(path):
    held = scipy.io.loadmat(path, simplify_cells=True)
    return np.stack([entry["coords"][:, 4] for entry in held["neurons_cleaned"]], axis=1)


TABLE = [
    Row(
        ALF, lambda path: spikes.load(path, bin_width=0.05), "spikes", (2400, 289), 20.0, "1", ("c0", "c499"), alf,
        tuple(f"{ALF}/{name}.npy" for name in ("spikes.times", "spikes.clusters", "events.times", "events.groups")),
    ),
    Row(
        PHY, lambda path: spikes.load(path, bin_width=0.1, sampling_rate=25_000.0), "spikes", (120, 62), 10.0, "1",
        ("c0", "c63"), phy,
        tuple(f"{PHY}/{name}" for name in (
            "spike_times.npy", "spike_clusters.npy", "spike_templates.npy", "templates.npy", "whitening_mat.npy",
            "channel_map.npy", "channel_positions.npy", "channel_shanks.npy", "cluster_group.tsv",
        )),
    ),
    Row(
        UNITS, lambda path: spikes.load(path, bin_width=0.1), "spikes", (10_874, 3), 10.0, "1", ("unit6", "unit206"),
        units_of_nwb,
    ),
    Row(
        HOPPER, lambda path: spikes.load(path, bin_width=0.05, time_units="us"), "spikes", (200, 1), 20.0, "1",
        ("grasshopper_spike_times1",) * 2,
        lambda path: np.bincount(np.loadtxt(path).astype(np.int64) // 50_000)[:, None],
    ),
    patch("VoltageClampSeries_01", "acquisition"),
    patch("VoltageClampSeries_02", "acquisition"),
    patch("VoltageClampStimulusSeries_01", "stimulus/presentation"),
    patch("VoltageClampStimulusSeries_02", "stimulus/presentation"),
    worm("2022-07-26-31", (800, 146), ("u001", "u146")),
    worm("2022-07-26-38", (800, 141), ("AIZL", "RIMR")),
    worm("2022-01-16-01", (799, 130), ("u001", "u130"), table=False),
    ramp("IK890_pF_PT/200305_001", 2161),
    ramp("IK890_pF_PT/200305_002", 2161),
    ramp("XL115_pF_PT_Expanded/201020_001", 2761),
    ramp("pASB52_pF_PT/200312_001", 2161),
    Row(
        f"{HALLEM}/pASB67_soma_pF_PT_short_data.mat",
        lambda path: calcium.load(path, signal="CaResponse/full", unit="UIDs", rate=1.0),
        "calcium", (841, 7), 1.0, "1", ("211105_001_soma", "211105_009_soma"),
        lambda path: scipy.io.loadmat(path)["CaResponse"]["full"][0, 0],
    ),
    layout("2022-07-26-31", 0, (800, 146), ("u000", "u145")),
    layout("2022-07-26-38", 1, (800, 141), ("AIZL", "RIMR")),
    Row(
        f"{MITRAL}/mh_field_of_view_6.mat", chae2019.load, "calcium", (55, 143), None, "1", ("cell001", "cell143"),
        lambda path: scipy.io.loadmat(path)["R"],
    ),
    Row(
        OPHYS, calcium.load, "calcium", (800, 141), None, "1", ("roi0", "roi140"),
        lambda path: h5(path, "processing/ophys/Fluorescence/GCaMP/data"),
        times=lambda path: h5(path, "processing/ophys/Fluorescence/GCaMP/timestamps"),
    ),
    Row(SEE, seeelegans2024.load, "calcium", (1161, 118), 1.0, "1", ("u000", "u117"), tracked,
        times=lambda path: scipy.io.loadmat(path, simplify_cells=True)["neurons_cleaned"][0]["coords"][:, 3],
        clock="frame",
    ),
    suite2p("F"),
    suite2p("Fneu"),
    suite2p("spks"),
    Row(
        f"{WEB}/time_trace.json", atanas2023.load, "calcium", (1600, 98), None, "1", ("u000", "u097"),
        lambda path: np.array([values for _, values in json.loads(path.read_text())]),
        times=lambda path: [time for time, _ in json.loads(path.read_text())],
    ),
    Row(
        f"{LARVA}.mat", triplett2018.load, "calcium", (5660, 75), 2.2, "1", ("cell001", "cell075"),
        lambda path: scipy.io.loadmat(path)["activity_matrix"].T,
    ),
]  # fmt: skip

NO_RECORDING = {
    f"{ALF}/trials_df_test.csv": "trials of another recording than the spikes beside it",
    "spikes/nitime_grasshopper/grasshopper_stimulus1.txt": "the sound played to the receptor, no response",
    f"{PHY}/amplitudes.npy": "scale of the template for each spike; the counts do not need it",
    f"{PHY}/similar_templates.npy": "how alike templates are, a help for merging by hand",
    f"{DAG}/dag_nwabudike_kang_2023.csv": "list of the authors' recordings and the events in them",
    f"{MITRAL}/dragon_property_matrix.mat": "properties of odours; stimuli of chae2019.load_session",
    f"{WEB}/neuron_list.txt": "115 names for 98 traces, without saying whose is whose: nothing is guessed",
    f"{LARVA}_assembly_assignments.csv": "the assemblies that the .mat file holds too",
    f"{LARVA}_cell_coordinates.csv": "the positions that the .mat file holds too",
}


def test_every_file_is_accounted_for(mirror):
    there = {
        str(path.relative_to(mirror)) for kind in ("spikes", "calcium") for path in (mirror / kind).rglob("*")
        if path.is_file()
    }  # fmt: skip
    listed = pd.read_csv(mirror / "FILES.tsv", sep="\t", header=None, usecols=[0], comment="#")[0]
    listed = {path for path in listed if path.startswith(("spikes/", "calcium/"))}
    table = {row.path for row in TABLE if row.path not in (ALF, PHY)} | {path for row in TABLE for path in row.used}
    assert there == listed
    assert not table & set(NO_RECORDING)
    assert table | set(NO_RECORDING) == there


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.path.split('/')[-1]}-{row.labels[0]}")
def test_values_rates_labels_and_units(mirror, row):
    rec = row.read(mirror / row.path)
    ni.check(rec)
    expected = row.values(mirror / row.path)
    assert rec.shape == expected.shape == row.dims
    np.testing.assert_array_equal(rec.values, expected)
    assert (rec.attrs["modality"], rec.attrs["units"]) == (row.modality, row.units)
    assert rec.attrs.get("sampling_rate") == (None if row.rate is None else pytest.approx(row.rate, rel=1e-9))
    if "time" in rec.dims:
        assert rec["time"].attrs["units"] == row.clock
        stamps = np.arange(len(rec)) / row.rate if row.times is None else row.times(mirror / row.path)
        np.testing.assert_allclose(rec["time"], stamps, rtol=1e-12, atol=1e-9)
    assert (rec["unit"].values[0], rec["unit"].values[-1]) == row.labels
    if row.modality == "spikes":
        assert rec.attrs["history"][0]["parameters"]["events_outside"] == 0


def test_labels_are_those_of_the_files(mirror):
    """All of them, where a file names its units."""
    read = {row.path: row.read(mirror / row.path)["unit"].values.tolist() for row in TABLE if row.path != KATO}
    assert read[ALF] == [f"c{i}" for i in np.unique(np.load(mirror / ALF / "spikes.clusters.npy"))]
    assert read[PHY] == [f"c{i}" for i in np.unique(np.load(mirror / PHY / "spike_clusters.npy"))]
    assert read[UNITS] == [f"unit{i}" for i in h5(mirror / UNITS, "units/id")]
    cgmp = f"{HALLEM}/pASB67_soma_pF_PT_short_data.mat"
    assert read[cgmp] == [str(name[0]) for name in np.ravel(scipy.io.loadmat(mirror / cgmp)["UIDs"])]
    for worm, size in (("2022-07-26-31", 146), ("2022-07-26-38", 141)):
        table = pd.read_csv(mirror / f"{DAG}/{worm}-labels.csv").drop_duplicates("label")
        named = dict(zip(table.neuron, table.label, strict=True))
        expected = [named.get(number, f"u{number:03d}") for number in range(1, size + 1)]
        assert read[f"{DAG}/{worm}-data.h5"] == expected
    rois = h5(mirror / OPHYS, "processing/ophys/ImageSegmentation/PlaneSegmentation/id")
    assert read[OPHYS] == [f"roi{i}" for i in rois]


def test_tables_that_repeat_what_the_mat_file_holds(mirror):
    held = scipy.io.loadmat(mirror / f"{LARVA}.mat", simplify_cells=True)
    places = pd.read_csv(mirror / f"{LARVA}_cell_coordinates.csv", header=None).to_numpy()
    np.testing.assert_allclose(places, held["cell_coordinates"])
    lines = (mirror / f"{LARVA}_assembly_assignments.csv").read_text().splitlines()
    shown = [[int(cell) for cell in line.split(",")] for line in lines if line.strip()]
    detected = [sorted(np.ravel(cells).tolist()) for cells in held["detected_assemblies"]]
    assert all(cells in detected for cells in shown)


def test_files_that_are_no_recording_are_refused(mirror):
    with pytest.raises(ni.LoaderError, match=r"pass columns=.*; it has Unnamed: 0, stimOn_times, feedback_times"):
        spikes.load(mirror / ALF / "trials_df_test.csv", bin_width=0.1)
    with pytest.raises(ni.LoaderError, match=r"cannot be read as one spike time per line|unit .* needs a row of times"):
        spikes.load(mirror / "spikes/nitime_grasshopper/grasshopper_stimulus1.txt", bin_width=0.1, time_units="us")
    with pytest.raises(ni.LoaderError, match="holds text: name the units with columns="):
        calcium.load(mirror / DAG / "dag_nwabudike_kang_2023.csv", rate=1.0)
