"""The report in Chromium: nothing is asked of a network, nothing is said on the console, and everything works."""

import csv
import io
import re

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp import report
from neurointerp.analyses import comparison

HOSTILE = "<b>\"q\" 'n' & <script>throw 1"
NAMES = [HOSTILE, "beta", "alpha", "trials"]

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def rec(seed, **changes):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((80, 3)) @ rng.standard_normal((3, 8)) + rng.standard_normal((80, 8))
    return ni.recording(values, **({"modality": "eeg", "units": "V", "sampling_rate": 10.0} | changes))


@pytest.fixture(scope="module")
def tree():
    words = ["<script>throw 2</script>", "the", "##s", "cat"] * 20
    units = [f'</title><img src=x onerror="throw {i}">' for i in range(8)]
    recs = [
        rec(0, unit=units, attrs={"system": "simulated"}),
        rec(1, modality="calcium", units="1", attrs={"system": "worm"}),
        rec(3, modality="activations", units="1", coords={"token": ("time", words)}, attrs={"system": "a model"}),
        ni.recording(rec(2).values, modality="fmri", units="1", dims=("trial", "unit")),
    ]
    groups = {name: "one" if place < 2 else "two" for place, name in enumerate(NAMES)}
    made = comparison.compare(dict(zip(NAMES, recs, strict=True)), samples=60, nulls=2, resamples=0, groups=groups)
    return made.assign(sensitivity=xr.DataTree(degraded(made)))


def degraded(tree):
    """Give a sensitivity of known values: each figure, and less of it at each level; what is true is known of one."""
    labels = {"recording": tree["recording"].values, "metric": tree["metric"].values,
              "factor": ["units", "samples", "rate", "signal", "all"], "level": [1.0, 0.75, 0.5]}  # fmt: skip
    data = tree["summary"].sel(arm="data").values[:, :, None, None, None]
    lost = np.arange(5)[:, None, None] + np.array([0, 1, 3])[:, None] + [0.0, 0.5]
    truth = np.full(data.shape[:2], np.nan)
    truth[0, 0] = 2.5
    return xr.Dataset(
        {"value": ((*labels, "replicate"), data * (1 - 0.1 * lost)), "truth": (("recording", "metric"), truth)}, labels
    )


@pytest.fixture(scope="module")
def page(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return report.write(tree, path, command="neurointerp compare 'a b' --out \"<x>\"").as_uri()


@pytest.fixture
def opened(browser, page):
    """Give a function that opens the page; at the end nothing may have been said or asked for."""
    messages, requests, contexts = [], [], []

    def opened(at="", **options):
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        view = context.new_page()
        view.on("console", lambda message: messages.append(message.text))
        view.on("pageerror", lambda error: messages.append(str(error)))
        view.on("request", lambda request: requests.append(request.url))
        view.goto(page + at)
        return view

    yield opened
    for context in contexts:
        context.close()
    assert messages == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def arrived(view, name):
    """Wait until the page of a recording is shown and has the focus: a change of the hash is told after the key."""
    view.wait_for_function("(name) => document.activeElement.textContent === name", arg=name)


def rows(view):
    return view.locator("#summary tbody tr:visible th").all_inner_texts()


def test_a_table_sorts_by_click_and_by_keyboard_and_says_so(opened, tree):
    view = opened()
    assert rows(view) == NAMES
    header = view.locator("#summary thead th", has_text="effective dimension")
    header.get_by_role("button").click()
    value = dict(zip(NAMES, tree["summary"].sel(metric="effective_dimension", arm="data").values, strict=True))
    assert header.get_attribute("aria-sort") == "ascending"
    assert rows(view) == sorted(NAMES, key=value.get)
    view.keyboard.press("Enter")  # the button keeps the focus
    assert header.get_attribute("aria-sort") == "descending"
    assert rows(view) == sorted(NAMES, key=value.get, reverse=True)
    assert "descending" in view.locator("#said").inner_text()
    view.locator("#summary thead th", has_text="recording").get_by_role("button").press("Space")
    assert rows(view) == sorted(NAMES, key=str.lower)
    assert view.locator("#summary th[aria-sort=ascending], #summary th[aria-sort=descending]").count() == 1
    view.locator("#summary thead th", has_text="self-prediction").get_by_role("button").click()
    assert rows(view)[-1] == "trials"  # it has none: last, whichever way
    view.locator("#summary thead th", has_text="self-prediction").get_by_role("button").click()
    assert rows(view)[-1] == "trials"


def test_recordings_are_filtered_by_name_modality_and_kind(opened):
    view = opened()
    view.get_by_label("calcium", exact=True).uncheck()
    assert rows(view) == [HOSTILE, "alpha", "trials"]
    assert view.locator("#shown").inner_text() == "3 of 4 recordings"
    assert view.locator("#panels g.out").count() == view.locator("#panels g[data-recording='1']").count() > 5
    view.get_by_label("simulated", exact=True).uncheck()
    view.get_by_label("Name").fill("ALPH")
    assert rows(view) == ["alpha"]
    view.get_by_label("Name").press("Enter")  # sends no form
    assert rows(view) == ["alpha"]


def test_recordings_are_pages_with_links_focus_and_a_way_back(opened):
    view = opened()
    assert view.locator(".view:visible").count() == 1
    for name in NAMES:
        assert not view.get_by_role("heading", name=name, exact=True).is_visible()
    view.locator("#summary").get_by_role("link", name="beta").focus()
    view.keyboard.press("Enter")
    view.get_by_role("heading", name="beta", exact=True).wait_for()
    arrived(view, "beta")
    assert view.title().startswith("beta - ")
    assert view.locator(".view:visible").count() == 1
    view.locator(".view:visible .steps").get_by_role("link", name="alpha").click()
    arrived(view, "alpha")
    view.go_back()
    arrived(view, "beta")
    view.go_back()
    view.locator("#overview").wait_for()
    view.locator(".bar").get_by_role("link", name="Method").click()
    view.locator("#method").wait_for()
    direct = opened("#recording-1")
    assert direct.get_by_role("heading", level=2).all_inner_texts() == [HOSTILE]
    assert direct.title().startswith(HOSTILE)


def test_the_keyboard_reaches_what_the_mouse_does(opened):
    view = opened()
    seen = []
    for _ in range(12):
        view.keyboard.press("Tab")
        seen.append(view.evaluate("document.activeElement.textContent || document.activeElement.id"))
        ring = view.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring != "none", seen[-1]
    assert seen[:5] == ["Skip to content", "neurointerp", "Table", "Figures", "Groups"]
    assert "Dark" in seen
    assert "filter-name" in seen


def luminance(colour):
    parts = np.array(colour) / 255
    linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


CONTRASTS = """() => {
  const parse = (c) => { const n = c.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const part = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !part.checkVisibility()) continue;
    if (part.closest("script,style,title")) continue;
    const layers = [];
    for (let one = part; one; one = one.parentElement) layers.unshift(parse(getComputedStyle(one).backgroundColor));
    const ground = layers.reduce((below, top) => over(top, below), [255, 255, 255]);
    const svg = part.closest("svg");
    const ink = over(parse(getComputedStyle(part)[svg ? "fill" : "color"]), ground);
    found.push([part.tagName + "." + part.className, ink, ground]);
  }
  return found; }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("at", ["", "#recording-3"])
def test_text_stands_out_in_light_and_dark(opened, scheme, at):
    view = opened(at, color_scheme=scheme)
    worst = {}
    for what, ink, ground in view.evaluate(CONTRASTS):
        high, low = sorted((luminance(ink), luminance(ground)), reverse=True)
        worst[str(what)] = min(worst.get(str(what), 99), (high + 0.05) / (low + 0.05))
    assert len(worst) > 15
    assert {what: ratio for what, ratio in worst.items() if ratio < 4.5} == {}


def test_dark_is_what_the_system_asks_for_until_the_reader_chooses(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    dark, view = (opened(color_scheme=scheme) for scheme in ("dark", "light"))
    night, day = dark.evaluate(ground), view.evaluate(ground)
    assert night != day
    button = view.get_by_role("button", name="Dark")
    assert (button.get_attribute("aria-pressed"), dark.locator("#theme").get_attribute("aria-pressed")) == (
        "false", "true",
    )  # fmt: skip
    button.click()
    assert (view.evaluate(ground), button.get_attribute("aria-pressed")) == (night, "true")
    view.reload()
    assert view.evaluate(ground) == night  # it is remembered
    button.click()
    assert view.evaluate(ground) == day


def test_what_is_saved_equals_the_data(opened, tree, tmp_path):
    view = opened("#recording-2")
    figure = view.locator("#recording-2 figure", has_text="Correlations by community")
    with view.expect_download() as found:
        figure.get_by_role("link", name="Save the values").click()
    assert found.value.suggested_filename == "beta-correlation-values.csv"
    table = list(csv.DictReader(io.StringIO(found.value.path().read_text("utf-8"))))
    graph = tree["connectivity/beta/correlation/connectivity"]
    for row in table:
        for unit in graph["target"].values:
            assert float(row[unit]) == pytest.approx(float(graph.sel(source=row["unit"], target=unit)), abs=1e-4)
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with view.expect_download() as found:
            figure.get_by_role("button", name=f"({kind})").click()
        assert found.value.suggested_filename == f"beta-correlation.{kind.lower()}"
        assert found.value.path().read_bytes().startswith(start)
    overview = opened()
    with overview.expect_download() as found:
        overview.locator("#panel-1").get_by_role("button", name="(SVG)").click()
    drawing = found.value.path().read_text("utf-8")
    assert drawing.startswith("<svg")
    assert "class=" not in drawing
    with overview.expect_download() as found:
        overview.locator("#panel-1").get_by_role("button", name="(PNG)").click()
    assert int.from_bytes(found.value.path().read_bytes()[16:20]) == 1200  # three dots to one of the drawing


def test_the_command_is_copied_as_it_is(opened):
    view = opened()
    view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.locator("#method").get_by_role("button", name="Copy").click()
    view.get_by_role("button", name="Copied").wait_for()
    assert view.evaluate("navigator.clipboard.readText()") == "neurointerp compare 'a b' --out \"<x>\""


def test_pointing_at_a_recording_shows_it_everywhere_and_a_click_opens_it(opened):
    view = opened()
    mark = view.locator("#panel-1 g[data-recording='1']")
    mark.hover()
    assert view.locator("#panels g.lit").count() == view.locator("#panels g[data-recording='1']").count()
    mark.click()
    view.locator("#recording-2").wait_for()


@pytest.mark.parametrize(
    ("width", "at"), [(360, ""), (360, "#recording-1"), (360, "#recording-3"), (1600, ""), (768, "#recording-2")]
)
def test_nothing_is_wider_than_the_screen_and_every_picture_shows(opened, width, at):
    view = opened(at, viewport={"width": width, "height": 740})
    assert view.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    images = view.locator(".view:visible img")
    for image in images.all():
        image.scroll_into_view_if_needed()
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") > 100
        assert image.get_attribute("loading") == "lazy"
        assert len(image.get_attribute("alt")) > 40


READ = """(figure) => ({
  ticks: [...figure.querySelectorAll("text.name")].map(
    (t) => [t.textContent.replace("\u2212", "-"), t.getAttribute("y")]),
  spots: Object.fromEntries([...figure.querySelectorAll("g[data-recording]")].map(
    (g) => [g.dataset.recording, g.querySelector(".spots").getAttribute("d")])),
  stroke: getComputedStyle(figure.querySelector("g[data-recording='1'] .line")).stroke,
  card: getComputedStyle(figure).backgroundColor })"""


def numbers(text):
    return [float(one) for one in re.findall(r"-?[\d.]+", text)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sensitivity_is_drawn_where_its_values_lie(opened, tree, scheme):
    """The ticks give the scale back: every dot, read from the page, is the mean over replicates of a level."""
    view = opened("#sensitivity", color_scheme=scheme)
    value = tree["sensitivity/value"].mean("replicate")
    figures = view.locator("#curves figure")
    known = np.isfinite(value).any(("recording", "factor", "level"))
    assert figures.count() == int(known.sum())  # one clock of times: trials have none
    figure = figures.filter(has_text="effective dimension")
    found = figure.evaluate(READ)
    (first, y_first), (last, y_last) = [[float(one) for one in found["ticks"][i]] for i in (0, -1)]
    assert list(found["spots"]) == ["0", "1", "2", "3"]
    for number, path in found["spots"].items():
        points = np.array(numbers(path.replace("h0", ""))).reshape(5, 3, 2)
        assert (np.diff(points[..., 0].ravel()) > 0).all()  # from left to right, factor by factor
        height = first + (points[..., 1] + 4 - y_first) * (last - first) / (y_last - y_first)
        wanted = value.sel(metric="effective_dimension").isel(recording=int(number))
        np.testing.assert_allclose(height, wanted, atol=0.002 * abs(last - first) * 132 / abs(y_last - y_first) + 0.01)
    ink, ground = (luminance(numbers(found[key])[:3]) for key in ("stroke", "card"))
    assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 3
    heads, below = (figure.locator(f"text.{kind}").all_text_contents() for kind in ("head", "small"))
    assert heads == ["units", "samples", "rate", "signal to noise", "all"]
    assert below[:8] == ["count", "8", "6", "4", "count", "60", "45", "30"]
    assert below[12:16] == ["ratio", "\u221e", "3", "1"]
    assert figure.locator(".truth").count() == view.locator("#curves .truth").count() == 1
    assert "true 2.5" in figure.locator("g[data-recording='0'] title").text_content()


def test_curves_light_up_lead_on_and_can_be_saved(opened, tree):
    view = opened("#sensitivity")
    view.locator("#keys [data-recording='1'] a").hover()
    assert view.locator("#curves g.lit").count() == view.locator("#curves g[data-recording='1']").count() > 10
    assert view.locator("#panels g.lit").count() > 10
    figure = view.locator("#curves figure").first
    with view.expect_download() as found:
        figure.get_by_role("link", name="(CSV)").click()
    assert found.value.suggested_filename == "effective_dimension-sensitivity.csv"
    table = list(csv.DictReader(io.StringIO(found.value.path().read_text("utf-8"))))
    value = tree["sensitivity/value"].sel(metric="effective_dimension")
    assert len(table) == value.size
    for row in table[:: len(table) // 7]:
        at = {"recording": row["recording"], "factor": row["factor"], "level": float(row["level"])}
        wanted = value.sel(at).isel(replicate=int(row["replicate"])).item()
        assert float(row["value"]) == pytest.approx(wanted, rel=1e-5)
        assert row["truth"] == ("2.5" if row["recording"] == HOSTILE else "")
    with view.expect_download() as found:
        figure.get_by_role("button", name="(SVG)").click()
    drawing = found.value.path().read_text("utf-8")
    assert "class=" not in drawing
    assert 'stroke-dasharray="3px' in drawing
    view.locator("#keys").get_by_role("link", name="alpha").focus()
    view.keyboard.press("Enter")
    view.locator("#recording-3").wait_for()


def test_without_scripts_everything_is_there(opened, tree):
    view = opened(java_script_enabled=False)
    assert view.locator(".view:visible").count() == 1 + len(NAMES)
    assert view.locator(".scripted:visible").count() == 0
    view.locator("#summary").get_by_role("link", name="alpha").click()
    view.wait_for_url("**#recording-3")
    with view.expect_download() as found:
        view.locator("#recording-3").get_by_role("link", name="Save the weights of Component 0").first.click()
    assert found.value.suggested_filename == "alpha-component-0-weights.csv.gz"


OUTLINE = """() => {
  const all = (selector, wrong) =>
    [...document.querySelectorAll(selector)].filter(wrong).map((e) => e.outerHTML.slice(0, 90));
  const named = (e) => e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.alt || e.labels?.length ||
    e.textContent.trim();
  return {
    headings: [...document.querySelectorAll("h1,h2,h3,h4")].map((h) => Number(h.tagName[1])),
    ids: [...document.querySelectorAll("[id]")].map((e) => e.id),
    landmarks: ["header", "header > nav", "main", "footer"].map((t) => document.querySelectorAll("body > " + t).length),
    parts: document.querySelectorAll("img[src=x], script, b:not(td b)").length,
    wrong: {
      unnamed: all("button,a[href],input,svg[role=img],img,[role=region],[role=group],nav,form", (e) => !named(e)),
      dangling: all("[aria-labelledby]", (e) => !document.getElementById(e.getAttribute("aria-labelledby"))),
      links: all("a[href^='#']", (e) => !document.getElementById(e.hash.slice(1))),
      captions: all("table", (e) => !e.caption),
      figures: all("figure", (e) => !e.querySelector("figcaption")),
      scopes: all("th", (e) => !e.scope),
      bare: all("svg:not([role=img]):not([aria-hidden=true])", () => true),
      scrolled: all(".scroll", (e) => e.tabIndex !== 0),
    },
  };
}"""


def test_a_screen_reader_finds_headings_landmarks_and_names(opened):
    found = opened().evaluate(OUTLINE)
    assert found["headings"][0] == 1
    assert found["headings"].count(1) == 1
    assert all(after - before <= 1 for before, after in zip(found["headings"], found["headings"][1:], strict=False))
    assert len(found["ids"]) == len(set(found["ids"]))
    assert found["landmarks"] == [1, 1, 1, 1]
    assert {what: found for what, found in found["wrong"].items() if found} == {}
    assert found["parts"] == 1  # the page's own script, and no element made from a label


def test_on_paper_every_recording_is_there_and_no_control(opened):
    view = opened("#recording-2")
    view.emulate_media(media="print", color_scheme="dark")
    assert view.locator(".view:visible").count() == 1 + len(NAMES)
    for what in (".bar", "#filter", ".save", ".steps"):
        assert view.locator(f"{what}:visible").count() == 0
    assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
