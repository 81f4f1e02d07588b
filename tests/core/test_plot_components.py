"""Component cards: what is drawn where for each modality, read back from the artists."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import factorization, features
from neurointerp.errors import AnalysisError


def card(rec, component=0, **options):
    res = factorization.semi_nmf(rec, 3, keep_fraction=0.3, max_iter=20)
    figure = Figure(figsize=(9, 3), layout="constrained")
    assert plot.component_card(res, rec, figure, component=component, **options) is figure
    figure.draw_without_rendering()
    return res.isel(component=component), {ax.get_label(): ax for ax in figure.axes}, figure


def test_neurons_are_named_by_weight_and_top_moments_marked():
    rec = ni.load("demo-calcium")
    res = factorization.semi_nmf(rec, 3, keep_fraction=0.3, max_iter=20)
    top = features.top_samples(res, rec, n=5, apart=20)
    one, axes, _ = card(rec, 1, top=top, units=6)
    order = np.argsort(-np.abs(one.features.values))[:6]
    assert [tick.get_text() for tick in axes["units"].get_yticklabels()] == rec.unit.values[order].tolist()
    widths = [bar.get_width() for bar in axes["units"].patches]
    np.testing.assert_allclose(widths, one.features.values[order])
    line, dots = axes["samples"].lines
    np.testing.assert_allclose(line.get_ydata(), one.coefficients.values)
    np.testing.assert_allclose(dots.get_xdata(), top.sample_time.sel(component=1).values)


def test_tokens_show_the_texts_around_their_top_samples():
    rec = ni.load("demo-activations")[:300]
    res = factorization.semi_nmf(rec, 3, keep_fraction=0.3, max_iter=20)
    top = features.top_samples(res, rec, n=4, context=5)
    _, axes, _ = card(rec, 2, top=top)
    at = top.sample.values[2]
    bold = [text.get_text() for text in axes["samples"].texts if text.get_weight() == "bold"]
    assert bold == [str(rec.token.values[i]).removeprefix("##") for i in at]
    shades = [patch for patch in axes["samples"].patches if isinstance(patch, Rectangle)]
    assert len(shades) == int((top.course.sel(component=2) > 0).sum())
    darkest = max(shades, key=lambda patch: patch.get_alpha())
    assert round(darkest.get_y() + 0.42) == 0  # of the first row
    with pytest.raises(AnalysisError, match=r"tokens need top=features\.top_samples"):
        card(rec)


def test_eeg_is_a_topography_of_the_sensors_with_positions():
    pytest.importorskip("mne")
    rec = ni.load("demo-eeg")[:200]
    place = rec["x"].values.copy()
    place[3] = np.nan
    _, axes, figure = card(rec.assign_coords(x=("unit", place, rec["x"].attrs)))
    assert axes["units"].get_title() == "31 of 32 units"
    assert len(axes["units"].images) == 1  # the interpolated map
    assert "simulated" in figure.get_suptitle()


def test_voxels_are_slices_through_the_largest_and_parcels_dots():
    index = np.stack(np.meshgrid(range(2, 6), range(3), range(2), indexing="ij"), axis=-1).reshape(-1, 3)
    rng = np.random.default_rng(0)
    coords = {axis: ("unit", index[:, i]) for i, axis in enumerate("ijk")}
    rec = ni.recording(rng.standard_normal((40, 24)), modality="fmri", units="1", sampling_rate=0.5, coords=coords)
    res = factorization.semi_nmf(rec, 3, keep_fraction=0.3, max_iter=20)
    figure = Figure()
    plot.component_card(res, rec, figure)
    maps = [ax for ax in figure.axes if ax.get_label() == "units"]
    F = res.features.values[0]
    peak = index[np.abs(F).argmax()]
    assert [ax.get_title() for ax in maps] == [f"{axis} = {value}" for axis, value in zip("ijk", peak, strict=True)]
    volume = np.zeros((4, 3, 2))
    volume[tuple((index - [2, 0, 0]).T)] = F
    np.testing.assert_allclose(maps[0].images[0].get_array(), volume[peak[0] - 2].T)
    flat = rec.isel(unit=np.flatnonzero(index[:, 1] == 2))  # one slice, as of a fast sequence: no lines beside it
    _, axes, thin = card(flat)
    assert [ax.get_title()[:3] for ax in thin.axes if ax.get_label() == "units"] == ["j ="]
    assert axes["units"].images[0].get_array().shape == (2, 4)
    where = {axis: ("unit", 0.01 * index[:, i], {"units": "m", "frame": "mni"}) for i, axis in enumerate("xyz")}
    _, axes, _ = card(rec.drop_vars(["i", "j", "k"]).assign_coords(where))
    assert len(axes["units"].collections[0].get_offsets()) == 24


def test_trials_are_an_image_or_columns_by_condition(recordings):
    _, axes, _ = card(recordings["stimulus"])
    assert axes["samples"].images[0].get_array().shape == (6, 20)
    assert axes["samples"].get_ylabel() == "trial"
    flat = recordings["stimulus"].isel(time=0, drop=True)
    one, axes, _ = card(flat)
    assert [tick.get_text() for tick in axes["samples"].get_xticklabels()] == ["a", "b", "c"]
    np.testing.assert_allclose(np.sort(axes["samples"].lines[0].get_ydata()), np.sort(one.coefficients.values))


def test_segments_are_lines_of_their_own_and_wrong_arguments_are_refused(recordings):
    _, axes, _ = card(recordings["activations"])
    assert [len(line.get_xdata()) for line in axes["samples"].lines] == [50, 40, 30]
    rec = recordings["calcium"]
    res = factorization.pca(rec, 2)
    with pytest.raises(AnalysisError, match="no component 5; there are 2"):
        plot.component_card(res, rec, Figure(), component=5)
    with pytest.raises(AnalysisError, match="units of the result are not those"):
        plot.component_card(res, rec[:, ::-1], Figure())


def test_magnetometers_are_drawn_and_other_channels_left_out():
    pytest.importorskip("mne")
    rec = ni.load("demo-eeg")[:100]
    kinds = np.array(["grad"] * 8 + ["mag"] * 24, dtype=object)
    meg = rec.assign_attrs(modality="meg", units="T").assign_coords(channel_type=("unit", kinds))
    ax = plot.sensor_map(np.arange(32.0), meg, Figure().subplots())
    assert ax.get_title() == "24 of 32 units"
    with pytest.raises(AnalysisError, match="3 sensors have a position and a value"):
        plot.sensor_map(np.arange(32.0)[:3], rec[:, :3], Figure().subplots())


def test_signed_coefficients_of_trials_keep_their_sign_and_samples_their_place():
    values = np.random.default_rng(0).standard_normal((5, 9, 4))
    rec = ni.recording(values, modality="calcium", units="1", sampling_rate=2.0, dims=("trial", "time", "unit"))
    for part in (rec, rec[:, :1]):
        figure = Figure()
        plot.component_card(factorization.pca(part, 2), part, figure)
        image = next(ax for ax in figure.axes if ax.get_label() == "samples").images[0]
        low, high = image.get_clim()
        assert -low == high == np.abs(image.get_array()).max()
        left, right = image.get_extent()[:2]
        assert (right - left) / image.get_array().shape[1] == pytest.approx(0.5 if part.sizes["time"] > 1 else 1.0)
        assert left + (right - left) / (2 * part.sizes["time"]) == pytest.approx(0.0)


def test_voxels_without_a_place_are_refused_by_name():
    where = {axis: ("unit", np.full(4, np.nan)) for axis in "ijk"}
    values = np.random.default_rng(0).random((9, 4))
    rec = ni.recording(values, modality="fmri", units="1", sampling_rate=1.0, coords=where)
    with pytest.raises(AnalysisError, match="voxel indices"):
        plot.component_card(factorization.semi_nmf(rec, 2, max_iter=5), rec, Figure())
