import re
import shutil

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import report
from neurointerp.analyses import comparison

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def rec(seed, **changes):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((120, 3)) @ rng.standard_normal((3, 8)) + rng.standard_normal((120, 8))
    return ni.recording(values, **({"modality": "eeg", "units": "V", "sampling_rate": 10.0} | changes))


@pytest.fixture(scope="module")
def tree():
    hostile = rec(1, modality="calcium", units="1", attrs={"system": "<script>alert(1)</script>"})
    simulated = rec(0, attrs={"system": "simulated"})
    single = ni.recording(rec(2).values, modality="fmri", units="1", dims=("trial", "unit"))
    return comparison.compare({"<b>sim": simulated, "worm": hostile, "single": single}, nulls=2, resamples=0)


@pytest.fixture(scope="module")
def page(tree, tmp_path_factory):
    return report.write(tree, tmp_path_factory.mktemp("report") / "report.html", command="neurointerp compare a b")


def test_labels_from_data_are_escaped_and_nothing_is_fetched(page):
    text = page.read_text("utf-8")
    assert "&lt;b&gt;sim" in text
    assert "<script" not in text
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)


def test_every_recording_says_whether_it_is_real(page, tree):
    text = page.read_text("utf-8")
    for name, kind in (("&lt;b&gt;sim", "simulated"), ("worm", "real"), ("single", "not stated")):
        assert re.search(rf"<h2[^>]*>{re.escape(name)} .*?{kind}</span></h2>", text)
    for metric in tree["metric"].values:
        assert metric.replace("_", " ") in text
    for definition in tree["definition"].values:
        assert definition.split(",")[0].replace("'", "&#39;").replace(">", "&gt;").replace("<", "&lt;") in text
    assert "neurointerp compare a b" in text


def test_a_figure_that_could_not_be_computed_says_why(page):
    assert "one value per trial: there is no time" in page.read_text("utf-8")


def test_the_report_of_a_stored_comparison_is_the_same(page, tree, tmp_path):
    stored = ni.open(ni.save(tree, tmp_path / "results.zarr"))
    assert report.render(stored, command="neurointerp compare a b") == page.read_text("utf-8")


def test_the_table_holds_every_figure_of_every_recording(tree):
    table = report.table(tree)
    assert len(table) == 3 * tree.sizes["metric"]
    row = table[(table.recording == "worm") & (table.metric == "modularity")].iloc[0]
    assert row.data == float(tree["summary"].sel(recording="worm", metric="modularity", arm="data"))
    assert row.kind == "real"
    assert set(table[table.metric == "intrinsic_timescale"].unit) == {"s", "trial"}


def test_what_is_no_comparison_is_refused(tree, tmp_path):
    with pytest.raises(ni.AnalysisError, match="not a comparison"):
        report.render(ni.session({"a": rec(0)}))
    (tmp_path / "file").write_text("")
    with pytest.raises(ni.AnalysisError, match="cannot write the report"):
        report.write(tree, tmp_path / "file" / "report.html")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_in_chromium_there_is_no_console_message_and_no_request(page, width):
    sync_api = pytest.importorskip("playwright.sync_api")
    messages, requests = [], []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        view = browser.new_page(viewport={"width": width, "height": 900})
        view.on("console", lambda message: messages.append(message.text))
        view.on("pageerror", lambda error: messages.append(str(error)))
        view.on("request", lambda request: requests.append(request.url))
        view.goto(page.as_uri())
        headings = view.locator("h2[id^=recording]").all_inner_texts()
        broken = view.evaluate("[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).length")
        images = view.evaluate("document.images.length")
        overflow = view.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        unnamed = view.evaluate("[...document.images].filter(i => !i.alt).length")
        browser.close()
    assert [heading.split()[0] for heading in headings] == ["<b>sim", "worm", "single"]
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert (images > 10, broken, unnamed, overflow) == (True, 0, 0, 0)
