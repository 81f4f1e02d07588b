"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  const say = (text) => { byId("said").textContent = text; };
  root.classList.add("js");

  // Light or dark: what the system asks for, until the reader chooses; the choice is kept where the browser allows it.
  const theme = byId("theme");
  const kept = { get() { try { return localStorage.getItem("neurointerp-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("neurointerp-theme", value); } catch { /* private or blocked: not kept */ } } };
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const showTheme = () => { theme.setAttribute("aria-pressed", String(isDark())); };
  if (["light", "dark"].includes(kept.get())) root.dataset.theme = kept.get();
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; kept.set(root.dataset.theme); showTheme(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  showTheme();

  // One view at a time, named by the hash, so that the back button and links work.
  const title = document.title;
  const show = (focus) => {
    const target = byId(location.hash.slice(1)) || byId("overview");
    const view = target.closest(".view") || all(".view.current")[0] || byId("overview");
    for (const one of all(".view")) one.classList.toggle("current", one === view);
    const heading = view.querySelector("h1, h2");
    document.title = view.id === "overview" ? title : `${heading.textContent} - ${title}`;
    for (const link of all(".bar nav a")) {
      if (link.hash === location.hash) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    }
    if (!focus) return;
    const to = target === view ? heading : target.querySelector("h2") || target;
    to.tabIndex = -1;
    to.focus({ preventScroll: true });
    if (target === view) scrollTo(0, 0); else target.scrollIntoView();
  };
  addEventListener("hashchange", () => show(true));
  show(Boolean(location.hash));

  // Tables sort by a column: numbers within their unit, then text; what is missing stays last.
  const key = (cell) => {
    const text = cell.dataset.value ?? cell.textContent;
    const number = /^-?[\d.]/.test(text) ? Number(text) : NaN;
    return { unit: cell.dataset.unit || "", number, text, missing: text === "nan" || text === "" };
  };
  const compare = (a, b, sign) => a.missing - b.missing || a.unit.localeCompare(b.unit) ||
    sign * (Number.isNaN(a.number) || Number.isNaN(b.number) ? a.text.localeCompare(b.text, undefined, { numeric: true }) : a.number - b.number);
  for (const button of all("table.sortable .sort")) {
    button.addEventListener("click", () => {
      const header = button.closest("th"), table = header.closest("table"), body = table.tBodies[0];
      const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of all("th[aria-sort]", table)) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [key(row.cells[header.cellIndex]), row]);
      body.append(...rows.sort((a, b) => compare(a[0], b[0], sign)).map(([, row]) => row));
      say(`Sorted by ${button.textContent}, ${sign > 0 ? "ascending" : "descending"}`);
    });
  }

  // The filter hides rows of the table and fades the same recordings in the drawings.
  const filter = byId("filter");
  const apply = () => {
    const wanted = (name) => new Set(all(`input[name=${name}]:checked`, filter).map((box) => box.value));
    const modality = wanted("modality"), kind = wanted("kind"), text = byId("filter-name").value.trim().toLowerCase();
    let count = 0;
    const rows = all("#summary tbody tr"), out = new Set();
    for (const row of rows) {
      row.hidden = !(modality.has(row.dataset.modality) && kind.has(row.dataset.kind) && row.dataset.name.includes(text));
      if (row.hidden) out.add(row.dataset.recording); else count += 1;
    }
    for (const mark of all(".panels g[data-recording]")) mark.classList.toggle("out", out.has(mark.dataset.recording));
    byId("shown").textContent = `${count} of ${rows.length} recordings`;
  };
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  apply();

  // Pointing at a recording in one drawing, or at its row, shows it in all of them; a click opens its page.
  const panels = all(".panels");
  const light = (number) => {
    for (const part of panels) part.classList.toggle("lit", number !== undefined);
    for (const mark of panels.flatMap((part) => all("g[data-recording]", part))) mark.classList.toggle("lit", mark.dataset.recording === number);
  };
  const pointed = (event) => event.target.closest("[data-recording]")?.dataset.recording;
  const keys = byId("keys") ? [byId("keys")] : [];
  for (const place of [...panels, ...keys, byId("summary")]) {
    place.addEventListener("pointerover", (event) => light(pointed(event)));
    place.addEventListener("pointerleave", () => light(undefined));
  }
  for (const place of panels) place.addEventListener("click", (event) => {
    if (pointed(event) !== undefined) location.hash = `recording-${Number(pointed(event)) + 1}`;
  });

  // Saving: data as plain CSV, pictures as SVG or PNG.
  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`Saved ${name}`);
  };
  const bytes = (uri) => Uint8Array.from(atob(uri.slice(uri.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
  const drawn = (button) => {
    const figure = button.closest("figure"), image = figure.querySelector("img");
    if (image) return decodeURIComponent(image.src.slice(image.src.indexOf(",") + 1));
    const live = figure.querySelector("svg"), copy = live.cloneNode(true), from = all("*", live);
    all("*", copy).forEach((part, i) => {
      const style = getComputedStyle(from[i]);
      for (const name of ["fill", "stroke", "stroke-width", "opacity", "stroke-dasharray", "stroke-linecap", "font-size", "font-weight", "text-anchor"]) part.setAttribute(name, style.getPropertyValue(name));
      part.removeAttribute("class");
    });
    const box = live.viewBox.baseVal;
    for (const [name, value] of Object.entries({ xmlns: "http://www.w3.org/2000/svg", width: box.width, height: box.height, "font-family": "sans-serif" })) copy.setAttribute(name, value);
    const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ width: box.width, height: box.height, fill: getComputedStyle(figure).backgroundColor })) ground.setAttribute(name, value);
    copy.prepend(ground);
    return new XMLSerializer().serializeToString(copy);
  };
  const rastered = (svg, name) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas"), scale = 3;
      [canvas.width, canvas.height] = [image.width * scale, image.height * scale];
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(blob, name), "image/png");
    };
    image.src = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  };
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("a[download$='.csv.gz']"), button = event.target.closest("[data-save]");
    if (link && "DecompressionStream" in window) {
      event.preventDefault();
      const stream = new Blob([bytes(link.href)]).stream().pipeThrough(new DecompressionStream("gzip"));
      save(new Blob([await new Response(stream).blob()], { type: "text/csv" }), link.download.replace(/\.gz$/, ""));
    } else if (button?.dataset.save === "svg") save(new Blob([drawn(button)], { type: "image/svg+xml" }), `${button.dataset.name}.svg`);
    else if (button) rastered(drawn(button), `${button.dataset.name}.png`);
  });

  // Copying: through the clipboard where it is allowed, else by selecting the text.
  for (const button of all("[data-copy]")) {
    button.addEventListener("click", async () => {
      const text = byId(button.dataset.copy);
      try { await navigator.clipboard.writeText(text.textContent); } catch {
        getSelection().selectAllChildren(text);
        document.execCommand("copy");
      }
      button.textContent = "Copied";
      say("Copied");
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
})();
