"""The report as text: what it says, what is escaped, what can be saved; its behaviour is in test_report_browser."""

import base64
import csv
import gzip
import html
import io
import re
import urllib.parse
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp import report
from neurointerp.analyses import comparison
from neurointerp.analyses.comparison._groups import group_tests
from neurointerp.report import curves, drawing, overview, pictures
from neurointerp.report.downloads import file_stem, table_file
from neurointerp.report.html import number

GROUPED = ("group_mean", "group_statistic", "group_p", "group_q")
HOSTILE = "<b>\"quoted\" 'n' & $x_{y<img src=x>"


def rec(seed, **changes):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((120, 3)) @ rng.standard_normal((3, 8)) + rng.standard_normal((120, 8))
    return ni.recording(values, **({"modality": "eeg", "units": "V", "sampling_rate": 10.0} | changes))


@pytest.fixture(scope="module")
def tree():
    names = [HOSTILE, "--><script>alert(2)</script>", "$\\frac{1$", "bell \x07", "\u05d0\u4e2d", "'", '"', "x" * 90]
    hostile = rec(1, modality="calcium", units="1", unit=names, attrs={"system": "<script>alert(1)</script>"})
    words = ["##ing", "</span><script>alert(3)</script>", "the", "\n", "'", '"', "&amp;", "$a"] * 15
    tokens = rec(3, modality="activations", units="1", sampling_rate=1.0, coords={"token": ("time", words)})
    single = ni.recording(rec(2).values, modality="fmri", units="1", dims=("trial", "unit"))
    return comparison.compare(
        {HOSTILE: rec(0, attrs={"system": "simulated"}), "worm": hostile, "single": single, "words": tokens},
        nulls=3, samples=60, resamples=0, groups={HOSTILE: "<i>", "worm": "<i>", "single": "b", "words": "b"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def text(tree):
    return report.render(tree, command="neurointerp compare 'a b' \"<c>\"")


@pytest.fixture(scope="module")
def one():
    return comparison.compare({"worm": rec(4)}, samples=60, nulls=2)


def saved(text, stem):
    """Give the rows of the file that the page offers under a name."""
    found = re.findall(rf'download="{re.escape(stem)}\.csv\.gz" href="data:application/gzip;base64,([^"]+)"', text)
    assert len(found) == 1, (stem, len(found))
    return list(csv.DictReader(io.StringIO(gzip.decompress(base64.b64decode(html.unescape(found[0]))).decode())))


def images(text):
    found = re.findall(r'<img src="data:image/svg\+xml,([^"]+)" alt="([^"]+)"', text)
    return [(urllib.parse.unquote(html.unescape(svg)), html.unescape(alt)) for svg, alt in found]


def test_labels_from_data_are_escaped_and_nothing_is_fetched(text):
    body = text[: text.rindex("<script>")]
    assert "<script" not in body
    assert "alert(1)" in body
    assert html.escape(HOSTILE, quote=False).split("$")[0].replace('"', "&#34;").replace("'", "&#39;") in body
    found = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attrs: found.extend((tag, *pair) for pair in attrs)
    reader.feed(body)
    assert len(found) > 1000
    reached = [one for one in found if one[1] in ("src", "href", "action", "srcset", "poster")]
    assert [one for one in reached if not one[2].startswith(("data:", "#"))] == []
    assert [one for one in found if one[1] == "style" or one[1].startswith("on")] == []


def test_pictures_are_sound_svg_with_the_labels_of_the_data_in_them(text, tree):
    drawn = images(text)
    names = set()
    for svg, alt in drawn:
        root = ET.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(alt) > 40
        names |= {part.text for part in root.iter("{http://www.w3.org/2000/svg}text")}
        assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert len(drawn) > 25
    assert {"$\\frac{1$", "\u05d0\u4e2d", "'"} <= names
    assert pictures.short(HOSTILE) in names


def test_every_recording_says_whether_it_is_real(text, tree):
    for name, kind in (("worm", "real"), ("single", "real or simulated: not stated"), (HOSTILE, "simulated")):
        shown = html.escape(name, quote=True).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
        assert re.search(rf"<h2[^>]*>{re.escape(shown)}</h2>\s*<p class=\"about\">.*?>{kind}</span>", text)
    for definition in tree["definition"].values:
        assert html.escape(definition.split(",")[0]).replace("&#x27;", "&#39;") in text
    assert "neurointerp compare &#39;a b&#39; &#34;&lt;c&gt;&#34;" in text


def test_a_figure_that_could_not_be_computed_says_why(text):
    assert "one value per trial: there is no time" in text


def test_what_is_saved_equals_the_data(text, tree):
    summary = tree.to_dataset(inherit=False)
    rows = saved(text, "summary")
    assert len(rows) == summary.sizes["recording"] * summary.sizes["metric"]
    for row in rows:
        cell = summary.sel(recording=row["recording"], metric=row["figure"])
        for key, value in (("data", cell["summary"].sel(arm="data")), ("z_score", cell["z_score"])):
            assert (float(row[key]) if row[key] else np.nan) == pytest.approx(float(value), rel=1e-5, nan_ok=True)
    matrix = saved(text, "worm-correlation-values")
    graph = tree["connectivity/worm/correlation/connectivity"].values
    number = tree["connectivity/worm/communities/community"].values
    order = np.argsort(number, kind="stable")
    got = np.array([[float(v) for v in list(row.values())[2:]] for row in matrix])
    np.testing.assert_allclose(got, graph[np.ix_(order, order)], rtol=1e-3, atol=1e-12)
    activity = saved(text, "worm-activity-values")
    got = np.array([[float(v) for v in list(row.values())[1:]] for row in activity])
    np.testing.assert_allclose(got, tree["matched/worm/matched"].values, rtol=5e-3)
    draws = saved(text, "modularity")
    want = summary["null_draws"].sel(metric="modularity").values
    np.testing.assert_allclose([[float(row[f"null_draw_{k}"]) for k in range(3)] for row in draws], want, rtol=1e-5)


def test_a_card_has_the_weights_the_course_and_of_language_the_texts(text, tree):
    page = text[text.index('id="recording-4"') :]
    method = "pca" if "Components (PCA)" in page else "semi_nmf"
    fit = tree[f"factorization/words/{method}"]
    weights = [float(row["weight"]) for row in saved(text, "words-component-1-weights")]
    np.testing.assert_allclose(weights, fit["features"].values[1], rtol=1e-3)
    course = saved(text, "words-component-1-coefficients")
    np.testing.assert_allclose(
        [float(row["coefficient"]) for row in course], fit["coefficients"].values[:, 1], rtol=1e-3
    )
    tokens = tree["matched/words/matched"]["token"].values.tolist()
    assert [row["token"] for row in course] == tokens
    assert "</span><script>alert(3)</script>" in tokens
    top = tree[f"features/words/{method}"].isel(component=1)
    first = tokens[int(top["sample"].values[0])]
    card = page[page.index("<figcaption>Component 1") :]
    own = re.search(r'<strong class="t\d">([^<]*)</strong>', card)[1]
    assert html.unescape(own).strip() == first.removeprefix("##").strip().replace("\n", "\\n")


def test_tokens_are_joined_as_their_tokenizer_marks_them():
    from neurointerp.report.cards import _printed as printed

    assert printed(np.array(["play", "##ing", "."], object)) == [(" ", "play"), ("", "ing"), (" ", ".")]
    split = printed(np.array(["Hel", "lo", "\u0120world", "\u010a"], object))
    assert split == [("", "Hel"), ("", "lo"), (" ", "world"), ("", "\\n")]


def test_components_that_cancel_are_not_shown_alone(tree):
    from neurointerp.report.sections import sections

    changed = tree.copy()
    fit = changed["factorization/worm/semi_nmf"].to_dataset(inherit=False).load()
    rng = np.random.default_rng(0)
    summary = changed.to_dataset(inherit=False)
    for spread, title in ((1.0, "Components (semi-NMF)"), (1e-3, "Components (PCA)")):
        course = np.abs(rng.standard_normal((fit.sizes["time"], 1)) + spread * rng.standard_normal((1, 4)))
        course = course + spread * np.abs(rng.standard_normal((fit.sizes["time"], 4)))
        course = np.abs(rng.standard_normal(course.shape)) if spread == 1.0 else course
        changed["factorization/worm/semi_nmf"] = xr.DataTree(fit.assign(coefficients=(("time", "component"), course)))
        found = sections(changed, summary, "worm")[0]
        assert found.title == title
        assert ("cancel each other" in found.note) == (spread < 1)


def test_groups_are_shown_where_the_comparison_has_them(text, tree, one):
    assert "Between groups" in text
    assert "mean of &lt;i&gt;" in text
    row = next(r for r in saved(text, "groups") if r["figure"] == "modularity")
    found = tree.to_dataset(inherit=False).sel(metric="modularity")
    means = found["group_mean"].values
    got = [float(row[key]) for key in ("mean <i>", "mean b", "statistic", "p", "q")]
    want = [*means, found["group_statistic"].item(), found["group_p"].item(), found["group_q"].item()]
    assert got == pytest.approx(want, rel=1e-5)
    assert overview.groups(one.to_dataset(inherit=False)) is None
    assert 'class="ends"' not in text
    assert 'id="sensitivity"' not in text


def test_of_groups_of_subjects_the_mixed_model_is_shown(tree):
    names = [str(name) for name in tree["recording"].values]
    whole = tree.to_dataset(inherit=False).drop_vars([*GROUPED, "group", "group_name"])
    groups, subjects = dict(zip(names, "abab", strict=True)), dict(zip(names, "ssuu", strict=True))
    more = tree.copy()
    more.dataset = held = group_tests(whole, groups, subjects, 0)
    shown = report.render(more)
    assert "permuting the groups within each of 2 subjects" in shown
    assert "mixed model: a minus b" in shown
    row = next(r for r in saved(shown, "groups") if r["figure"] == "modularity")
    one = held.sel(metric="modularity")
    wanted = [one["mixed_difference"][0], *one["mixed_interval"][0], one["subject_variance"], one["residual_variance"]]
    keys = ("mixed a minus b", "mixed a minus b low", "mixed a minus b high", "subject_variance", "residual_variance")
    assert [float(row[key]) for key in keys] == pytest.approx([float(value) for value in wanted], rel=1e-5)
    assert f"{number(float(wanted[0]))}<small>{number(float(wanted[1]), 2)} to" in shown
    whole_subjects = held.assign_coords(group=("recording", list("aabb")), subject=("recording", list("sstu")))
    assert "which of 3 subjects" in overview.groups(whole_subjects)["dealt"]


def test_intervals_and_sensitivity_are_shown_where_the_comparison_has_them(one):
    more = one.copy()
    held = more.to_dataset(inherit=False)
    data = held["summary"].sel(arm="data").values
    both = np.stack([data - 0.125, data + 0.25], axis=-1)
    held = held.assign(interval=(("recording", "metric", "bound"), both)).assign_coords(bound=["low", "high"])
    more.dataset = held
    known = np.arange(2.0 * data.shape[1]).reshape(-1, 2)
    grid = xr.Dataset({"value": (("metric", "size"), known)}, coords={"metric": held["metric"], "size": [8, 16]})
    more["/sensitivity"] = xr.DataTree(grid)
    shown = report.render(more)
    assert shown.count('class="ends" d=') == np.isfinite(data).sum() + 1  # and one in the legend
    row = next(r for r in saved(shown, "summary") if r["figure"] == "modularity")
    value = float(held["summary"].sel(recording="worm", metric="modularity", arm="data"))
    assert (float(row["low"]), float(row["high"])) == pytest.approx((value - 0.125, value + 0.25), rel=1e-4)
    assert f"{number(value - 0.125)} to {number(value + 0.25)}" in shown
    rows = saved(shown, "sensitivity")
    first, second = one["metric"].values[:2]
    wanted = [(first, "8", 0.0), (first, "16", 1.0), (second, "8", 2.0)]
    assert [(r["metric"], r["size"], float(r["value"])) for r in rows[:3]] == wanted
    levels = {"recording": ["worm"], "metric": held["metric"], "factor": ["units"], "level": [1.0, 0.5]}
    values = np.stack([known, known + 2], axis=-1)[None, :, None]
    more["/sensitivity"] = xr.DataTree(xr.Dataset({"value": ((*levels, "replicate"), values)}, coords=levels))
    found = overview.sensitivity(more)
    assert found["columns"] == ["recording", "metric", "factor", "at 1", "at 0.5"]
    by_metric = {row[1]: row for row in found["rows"]}
    assert by_metric[pictures.label(first)] == [
        "worm",
        pictures.label(first),
        "units",
        1.0,
        2.0,
    ]  # means over two replicates
    assert by_metric[pictures.label(second)] == ["worm", pictures.label(second), "units", 3.0, 4.0]


def test_the_report_of_a_stored_comparison_is_the_same(one, tmp_path):
    assert report.render(ni.open(ni.save(one, tmp_path / "results.zarr"))) == report.render(one)


def test_axes_have_round_ticks_within_them():
    for low, high in ((0, 1), (-3.2, 17), (-0.3, 1.1), (0.0351, 0.0353), (2.0, 2.0), (1e-9, 3e5), (-7, -7)):
        start, stop, ticks = overview.axis(np.array([low, np.nan, high]))
        assert start < low <= high < stop
        assert 1 <= len(ticks) <= 8
        assert "-0" not in [f"{tick:g}" for tick in ticks]
        assert all(start <= tick <= stop for tick in ticks)


def test_an_svg_made_small_keeps_labels_that_look_like_markup():
    label = "&lt;!-- 1.23456 --&gt;\x07"
    style = "font-size: 7px; font-family: 'A', b; fill: red"
    svg = f'<?xml?><svg><!-- a --><metadata>x</metadata><text style="{style}" x="1.23456">{label}</text></svg>'
    small = drawing.small(svg)
    assert ET.fromstring(small)[0].text == "<!-- 1.23456 -->\ufffd"
    assert "x='1.23'" in small
    assert "style='font-size:7px;fill:red'" in small


def test_a_saved_table_keeps_hostile_fields_and_a_safe_name():
    file = table_file("values", '../a/"b"\n', {'c,"': ['=1,"\n', "\x07"], "n": np.array([np.nan, 0.1234567])})
    rows = list(csv.reader(io.StringIO(gzip.decompress(base64.b64decode(file.href.partition(",")[2])).decode())))
    assert rows == [['c,"', "n"], ['=1,"\n', ""], ["\ufffd", "0.123457"]]
    assert file.file == "a-b.csv.gz"
    assert file_stem("") == file_stem("..") == "recording"


def test_the_table_holds_every_figure_of_every_recording(tree):
    table = report.table(tree)
    assert len(table) == 4 * tree.sizes["metric"]
    row = table[(table.recording == "worm") & (table.metric == "modularity")].iloc[0]
    assert row.data == float(tree["summary"].sel(recording="worm", metric="modularity", arm="data"))
    assert row.kind == "real"
    assert table[["low", "high"]].isna().all().all()
    assert set(table[table.metric == "intrinsic_timescale"].unit) == {"s", "trial"}


def test_the_table_holds_the_ends_of_intervals(one):
    table = report.table(one).set_index("metric")
    low, high = one["interval"].sel(recording="worm", metric="modularity").values
    assert (table.low["modularity"], table.high["modularity"]) == (low, high)
    assert low < table.data["modularity"] < high


def test_what_is_no_comparison_is_refused(one, tmp_path):
    with pytest.raises(ni.AnalysisError, match="not a comparison"):
        report.render(ni.session({"a": rec(0)}))
    (tmp_path / "file").write_text("")
    with pytest.raises(ni.AnalysisError, match="cannot write the report"):
        report.write(one, tmp_path / "file" / "report.html")


def test_the_words_of_a_sensitivity_count_the_recordings_that_are_drawn():
    """A recording without time has no such figure, and no line."""
    dims = {"recording": ["a", "b", "trials"], "factor": ["units"], "level": [1.0, 0.5], "replicate": [0]}
    values = np.array([[2.0, 1.0], [4.0, 3.0], [np.nan, np.nan]])[:, None, :, None]
    said = curves._said("prediction", "", xr.DataArray(values, dims=list(dims), coords=dims))
    assert said.startswith("prediction of 2 recordings made worse")
    assert "units from 3 to 2" in said
