// What moves on the page: the budget, the plan, the plots' views and colours. All numbers were written by Python.
const element = (id) => document.getElementById(id);
const state = { metric: data.metric, stop: data.start, view: {} };
const darkness = matchMedia("(prefers-color-scheme: dark)");
const printing = matchMedia("print");

const make = (tag, content = "", attributes = {}) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...[content].flat());
  return made;
};
const small = (text, name = "") => make("small", text, name ? { class: name } : {});
const stops = () => data.stops[state.metric] ?? [];
const chosen = () => stops()[state.stop]?.trial;
const compared = () => element("compare").value;

// The budget -----------------------------------------------------------------------------------------------------

function showBudget() {
  const stop = stops()[state.stop];
  const trial = data.trials[stop.trial];
  const slider = element("budget");
  slider.max = stops().length - 1;
  slider.value = state.stop;
  slider.setAttribute("aria-valuetext", `${state.metric} at most ${stop.share} %, ${stop.amount}`);
  element("limit").replaceChildren(`${state.metric} ≤ ${stop.share} % `, small(stop.amount));
  for (const button of element("metrics").children) {
    button.setAttribute("aria-pressed", button.value === state.metric);
  }
  for (const [id, end] of [["least", stops()[0]], ["most", stops().at(-1)]]) element(id).textContent = `${end.share} %`;
  const fact = (name, value, beside) => make("div", [make("dt", name), make("dd", [value, small(beside)])]);
  const facts = [fact("best trial", String(stop.trial), stop.trial === data.best ? "the study's best" : "under this budget")];
  facts.push(fact(`validation ${page.score}`, trial.validation, trial.interval));
  if (trial.test) facts.push(fact(`test ${page.score}`, trial.test, trial.test_interval));
  for (const [name, cost] of Object.entries(trial.costs)) {
    facts.push(fact(name, cost.times === "the same" ? "the same" : cost.times.replace(" fewer", " less"), `${cost.amount}, ${cost.shown}`));
  }
  element("facts").replaceChildren(...facts);
  element("command").textContent = data.command + stop.budget;
  for (const row of element("front").querySelectorAll("tr[data-trial]")) {
    row.classList.toggle("chosen", row.dataset.trial === String(stop.trial));
  }
}

// The plan -------------------------------------------------------------------------------------------------------

function bar(cost, name, other) {
  if (cost[2] === null) return "";
  const width = (share) => `${Math.min(100, 100 * share).toFixed(1)}%`;
  const made = make("span", make("i", "", { style: `width: ${width(cost[2])}` }), { class: `bar ${name}`, title: `${cost[1]} kept` });
  if (other && other[2] !== null) made.append(make("b", "", { style: `left: ${width(other[2])}` }));
  return made;
}

// Returns what draws a layer's least error (logarithmic) against the share that is kept, with a dot where the plan is.
function sparkline(layers) {
  const errors = layers.flatMap((layer) => layer.curve.map((point) => Math.log(point[1])));
  const [low, high] = [Math.max(Math.min(...errors), Math.max(...errors) - 16), Math.max(...errors)];
  const across = (share) => 84 * Math.min(1, share);
  const down = (error) => 25 - 24 * Math.max(0, (Math.log(error) - low) / (high - low || 1));
  return (layer, share, error) => {
    if (layer.curve.length < 2) return "";
    const shape = (tag, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      return made;
    };
    const svg = shape("svg", { viewBox: "0 0 84 26", role: "img", "aria-label": "error against parameters kept" });
    svg.append(shape("path", { d: `M${layer.curve.map(([x, y]) => `${across(x).toFixed(1)} ${down(y).toFixed(1)}`).join("L")}` }));
    if (share !== null) svg.append(shape("circle", { cx: across(share), cy: error ? down(error) : 25, r: 3 }));
    return svg;
  };
}

function showPlan() {
  const table = element("plan");
  const [own, other] = [chosen(), compared()].map((trial) => data.trials[trial]?.plan.map((row) => data.rows[row]));
  if (!own) return;
  const errors = own.reduce((sum, row) => sum + (row[2] ?? 0), 0);
  const known = data.layers.some((layer) => layer.before[0] !== "–");
  const columns = page.metrics.flatMap((metric) => [...(known ? [`${metric} →`] : []), "kept"]);
  const heads = ["layer", "kind", "rank", ...(other ? [`in trial ${compared()}`] : []), ...columns, ...(errors ? ["error"] : []), ...(errors && !other ? [""] : [])];
  const curve = sparkline(data.layers);
  table.tHead.replaceChildren(make("tr", heads.map((text, n) => make("th", text, n === 1 ? { class: "kind" } : n === 3 && other ? { class: "kind" } : {}))));
  let differing = 0;
  const rows = data.layers.map((layer, n) => {
    const [kind, rank, error, ...costs] = own[n];
    const same = other && other[n][0] === kind && other[n][1] === rank;
    if (other && layer.layer && !same) differing += 1;
    const cells = [make("th", [layer.name, ...(layer.what ? [small(layer.what)] : [])], { scope: "row" })];
    cells.push(make("td", kind, { class: "kind" }), make("td", rank));
    if (other) cells.push(make("td", !layer.layer ? other[n].slice(3).map((cost) => cost[0]).join(", ") : same ? "the same" : `${other[n][0]} ${other[n][1]}`, { class: "kind" }));
    costs.forEach((cost, m) => {
      if (known) cells.push(make("td", [make("span", `${layer.before[m]} → `, { class: "soft" }), cost[0]]));
      cells.push(make("td", [bar(cost, page.metrics[m], other?.[n][3 + m]), small(` ${cost[1]}`, "share")]));
    });
    if (errors) {
      cells.push(make("td", error === null ? "" : error ? `${(100 * error / errors).toFixed(1)} %` : "0 %"));
      if (!other) cells.push(make("td", curve(layer, costs[0][2], error)));
    }
    return make("tr", cells, { class: `${layer.layer ? "" : "sum"} ${same && layer.layer ? "same" : ""}` });
  });
  table.tBodies[0].replaceChildren(...rows);
  element("plan-of").textContent = `The plan of trial ${chosen()}`;
  const layers = data.layers.filter((layer) => layer.layer).length;
  element("difference").textContent = other
    ? `${differing} of ${layers} layers differ; a dark line in a bar is what trial ${compared()} keeps.` : "";
}

// The plots ------------------------------------------------------------------------------------------------------

const themed = (value) => {
  if (typeof value === "string") return (darkness.matches && !printing.matches && dark[value]) || value;
  if (Array.isArray(value)) return value.map(themed);
  if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, themed(part)]));
  }
  return value;
};

const merged = (base, more) => {
  const result = { ...base };
  for (const [name, value] of Object.entries(more ?? {})) {
    const both = value && typeof value === "object" && !Array.isArray(value);
    result[name] = both ? merged(base?.[name], value) : value;
  }
  return result;
};

const GLYPHS = { star: "★", diamond: "◆", "triangle-up-open": "△", "circle-open": "○" };

function key(trace) {
  const color = themed(trace.marker?.color ?? trace.line?.color);
  const glyph = trace.type === "bar" ? "■" : trace.mode === "lines" ? "━" : GLYPHS[trace.marker?.symbol] ?? "●";
  return make("li", [make("i", glyph, { style: `color: ${color}`, "aria-hidden": "true" }), trace.name]);
}

function draw(name) {
  const place = element(`plot-${name}`);
  const figure = figures[name];
  const view = figure.layout.meta?.views?.[state.view[name]];
  const traces = figure.data.map((trace, n) => merged(trace, view?.data?.[n]));
  const layout = merged(figure.layout, view?.layout);
  const trial = data.trials[chosen()];
  const cost = trial?.costs[name];
  if (cost) {
    traces.push({
      x: [cost.share], y: [data.axis * trial.score], mode: "markers", name: "under the slider", hoverinfo: "skip",
      marker: { symbol: "circle-open", size: 22, color: "#1b262e", line: { width: 2 } },
    });
  }
  layout.showlegend = false;
  layout.margin = { ...layout.margin, b: 44 };
  if (place.clientWidth < 420 && layout.xaxis.ticktext && cost) {
    layout.xaxis = { ...layout.xaxis, ticktext: layout.xaxis.ticktext.map((text, n) => (n % 2 ? "" : text)) };
  }
  element(`keys-${name}`).replaceChildren(...traces.filter((trace) => trace.x?.length && trace.name).map(key));
  return Plotly.react(place, themed(traces), themed(layout), { displayModeBar: false, responsive: true });
}

function drawMoving() {
  for (const metric of Object.keys(data.stops)) if (figures[metric]) draw(metric);
}

// What is done ---------------------------------------------------------------------------------------------------

function move(stop) {
  state.stop = stop;
  showBudget();
  showPlan();
  drawMoving();
}

function bind() {
  element("budget").addEventListener("input", (event) => move(Number(event.target.value)));
  element("metrics").addEventListener("click", ({ target }) => {
    if (!target.value) return;
    const before = chosen();
    state.metric = target.value;
    const same = stops().findLastIndex((stop) => stop.trial === before);
    move(same < 0 ? stops().length - 1 : same);
  });
  element("compare").addEventListener("change", showPlan);
  element("copy").addEventListener("click", async ({ target }) => {
    const range = document.createRange();
    range.selectNodeContents(element("command"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
    target.textContent = "Copied";
    setTimeout(() => (target.textContent = "Copy"), 1500);
  });
  for (const buttons of document.querySelectorAll("[data-views]")) {
    buttons.addEventListener("click", ({ target }) => {
      if (!target.value) return;
      for (const button of buttons.children) button.setAttribute("aria-pressed", button === target);
      state.view[buttons.dataset.views] = target.value;
      draw(buttons.dataset.views);
    });
  }
  const redraw = () => Object.keys(figures).forEach(draw);
  for (const media of [darkness, printing]) media.addEventListener("change", redraw);
}

// Everything is drawn once this is fulfilled.
const drawn = (async () => {
  if (stops().length) {
    bind();
    showBudget();
    showPlan();
  }
  // All else is there to be read by now; the plots come one by one.
  for (const name of Object.keys(figures)) {
    await new Promise((done) => setTimeout(done));
    await draw(name);
  }
})();
