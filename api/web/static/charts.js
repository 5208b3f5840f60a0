// Draws the charts of a page, in the colours of its style.
const bundle = new URL("./vega.js", import.meta.url);
const views = new Set();
let loading;

export async function draw(root) {
  const figures = [...root.querySelectorAll("figure.chart")];
  if (!figures.length) return;
  for (const view of views) {
    if (!view.container().isConnected) views.delete(view.finalize());
  }
  try {
    await (loading ??= import(bundle));
  } catch {
    document.body.classList.add("no-charts");
    return;
  }
  for (const figure of figures) await show(figure);
}

async function show(figure) {
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const place = figure.querySelector(".plot");
  const { view } = await window.vegaEmbed(place, spec, {
    actions: false,
    ast: true, // the page's policy forbids compiling expressions
    config: colours(place),
    defaultStyle: false,
    renderer: "svg",
    tooltip: { disableDefaultStyle: true },
  });
  views.add(view);
}

function colours(place) {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  const font = getComputedStyle(document.body).fontFamily;
  const text = { labelColor: of("quiet"), titleColor: of("text"), titleFontWeight: 500 };
  return {
    background: "transparent",
    font,
    axis: { ...text, gridColor: of("rail"), domainColor: of("line"), tickColor: of("line"), labelFontSize: 11, titleFontSize: 12, gridWidth: 0.7 },
    legend: { ...text, columns: place.clientWidth < 480 ? 2 : 4, labelFontSize: 12, labelLimit: Math.max(200, place.clientWidth - 90) },
    title: { color: of("text") },
    view: { stroke: "transparent" },
    line: { color: of("c5") },
    rule: { color: of("c5") },
    range: { category: ["c1", "c2", "c3", "c4", "c5", "c6"].map(of) },
    style: {
      knee: { color: of("text") },
      chosen: { color: of("mark") },
      limit: { color: of("mark") },
      guide: { color: of("quiet") },
    },
  };
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(document));
