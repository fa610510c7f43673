// Draws the chart of a study's page from the data in the page; pictures/study_figure.py draws the same on paper.
"use strict";

const chart = JSON.parse(document.getElementById("data").textContent);
const svg = document.getElementById("chart");
const tip = document.getElementById("tip");
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function add(tag, attributes, text = "") {
  const element = document.createElementNS(svg.namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return svg.appendChild(element);
}

function explain(element, text) {
  const box = () => element.getBoundingClientRect();
  const show = () => {
    tip.textContent = text;
    tip.hidden = false;
    tip.style.left = `${Math.min(box().right + 8, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.max(4, box().top - tip.offsetHeight - 4)}px`;
  };
  element.setAttribute("tabindex", 0);
  element.setAttribute("aria-label", text);
  for (const event of ["pointerenter", "focus", "click"]) element.addEventListener(event, show);
  for (const event of ["pointerleave", "blur"]) element.addEventListener(event, () => (tip.hidden = true));
}

// A function from values to pixels between `from` and `to`; `ticks` are the values to write beside the axis.
function scale(values, from, to, isLog, few = false) {
  const turn = isLog ? Math.log : Number;
  let [low, high] = [Math.min(...values.map(turn)), Math.max(...values.map(turn))];
  const margin = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
  [low, high] = [low - margin, high + margin];
  const place = (value) => from + ((turn(value) - low) / (high - low)) * (to - from);
  const distinct = [...new Set(values)].sort((a, b) => a - b);
  if (few && distinct.length <= 10) return Object.assign(place, { ticks: distinct });
  const [start, end] = isLog ? [Math.exp(low), Math.exp(high)] : [low, high];
  const step = 10 ** Math.floor(Math.log10((end - start) / 2));
  const width = [1, 2, 5].map((factor) => factor * step).find((one) => (end - start) / one <= 8) ?? 10 * step;
  const ticks = [];
  if (isLog)
    for (let power = Math.floor(Math.log10(start)); power <= Math.log10(end); power++)
      ticks.push(...[1, 2, 5].map((factor) => factor * 10 ** power));
  else for (let tick = Math.ceil(start / width) * width; tick <= end; tick += width) ticks.push(tick);
  return Object.assign(place, { ticks: ticks.filter((tick) => tick >= start && tick <= end) });
}

const short = (value) => String(Number(value.toPrecision(4)));

function drawAxes(area, x, y, xLabel, yLabel, names = null) {
  for (const tick of x ? x.ticks : []) {
    add("line", { x1: x(tick), x2: x(tick), y1: area.top, y2: area.bottom, class: "axis" });
    add("text", { x: x(tick), y: area.bottom + 16, "text-anchor": "middle" }, short(tick));
  }
  (names ?? y.ticks).forEach((tick, row) => {
    const height = y(names ? row : tick);
    add("line", { x1: area.left, x2: area.right, y1: height, y2: height, class: "axis" });
    const name = names ? tick : short(tick);
    const text = name.length > area.letters ? `${name.slice(0, area.letters - 1)}…` : name;
    add("text", { x: area.left - 6, y: height + 4, "text-anchor": "end" }, text);
  });
  add("text", { x: (area.left + area.right) / 2, y: area.bottom + 36, "text-anchor": "middle" }, xLabel);
  add("text", { x: 4, y: 12 }, yLabel);
}

function drawPoint(point, x, y, colour, isAcross = false) {
  const at = (value) => (isAcross ? { x: x(value), y } : { x, y: y(value) });
  for (const run of point.n > 1 ? point.runs.map(at) : [])
    add("circle", { cx: run.x, cy: run.y, r: 2.5, fill: colour, opacity: 0.4 });
  if (point.sd) {
    const low = Math.max(point.mean - point.sd, chart.log_metric ? point.mean / 100 : -Infinity);
    const [from, to] = [at(low), at(point.mean + point.sd)];
    add("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y, stroke: colour, "stroke-width": 2 });
  }
  const { x: cx, y: cy } = at(point.mean);
  explain(add("circle", { cx, cy, r: 5, fill: colour, class: "point" }), point.hover);
}

function drawCross(point, x, y) {
  explain(add("text", { x, y: y + 5, "text-anchor": "middle", "font-weight": 700 }, "✕"), point.hover);
}

function draw() {
  svg.replaceChildren();
  const points = chart.series.flatMap((series) => series.points);
  const isNames = chart.kind === "names", isFlat = chart.kind === "grid" || chart.kind === "points";
  const width = svg.clientWidth, height = isNames ? 80 + 24 * points.length : 380;
  const letters = width < 600 ? 18 : 48;
  const longest = Math.min(letters, Math.max(...points.map((point) => point.name.length)));
  const area = { left: isNames ? 16 + 6.6 * longest : 60, right: width - 16, top: 28, bottom: height - 46, letters };
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.style.height = `${height}px`;
  const ends = (point) => [-1, 0, 1].map((side) => point.mean + side * (point.sd ?? 0));
  const values = [...points, ...chart.baseline].flatMap((point) => [...ends(point), ...point.runs]);
  const metric = values.filter((value) => !chart.log_metric || value > 0);
  const across = [...points, ...chart.failed].map((point) => point.x);
  if (isFlat) return drawFlat(area, points, across);
  if (isNames) {
    const x = scale(metric, area.left, area.right - 20, chart.log_metric), y = (row) => area.top + 12 + 24 * row;
    drawAxes(area, x, y, chart.label, chart.y_label, points.map((point) => point.name));
    points.forEach((point, row) => drawPoint(point, x, y(row), "var(--s0)", true));
    return;
  }
  const x = scale(across, area.left, area.right, chart.log_x, true);
  const y = scale(metric, area.bottom, area.top + 16, chart.log_metric);
  drawAxes(area, x, y, chart.x_label, chart.label);
  const line = (several) => several.map((point) => `${x(point.x)},${y(point.mean)}`).join(" ");
  const grey = "var(--faint)", style = { fill: "none", "stroke-width": 2 };
  add("polyline", { points: line(chart.baseline), stroke: grey, "stroke-dasharray": "6 4", ...style });
  for (const point of chart.baseline)
    explain(add("circle", { cx: x(point.x), cy: y(point.mean), r: 3, fill: grey }), point.hover);
  chart.series.forEach((series, number) => {
    const colour = `var(--s${number % 8})`;
    if (chart.kind === "curve") add("polyline", { points: line(series.points), stroke: colour, ...style });
    for (const point of series.points) drawPoint(point, x(point.x), y, colour);
  });
  for (const point of chart.failed) drawCross(point, x(point.x), area.top + 4);
}

// Two numeric keys: a heat map, or coloured points where the values are on no grid. The first point is the best.
function drawFlat(area, points, across) {
  const isGrid = chart.kind === "grid", every = [...points, ...chart.failed];
  const [xs, ys] = ["x", "y"].map((axis) => [...new Set(every.map((point) => point[axis]))].sort((a, b) => a - b));
  const [wide, high] = [(area.right - area.left) / xs.length, (area.bottom - area.top) / ys.length];
  let x = scale(across, area.left, area.right, chart.log_x, true);
  let y = scale(ys, area.bottom, area.top, chart.log_y, true);
  if (isGrid) {
    x = Object.assign((value) => area.left + (xs.indexOf(value) + 0.5) * wide, { ticks: xs });
    y = Object.assign((value) => area.bottom - (ys.indexOf(value) + 0.5) * high, { ticks: ys });
  }
  drawAxes(area, x, y, chart.x_label, chart.y_label);
  const shade = scale(points.map((point) => point.mean), 0, 1, chart.log_metric);
  for (const [index, point] of points.entries()) {
    const place = Math.min(3.999, Math.max(0, shade(point.mean) * 4)), stop = Math.floor(place);
    const mixed = VIRIDIS[stop].map((low, part) => low + (VIRIDIS[stop + 1][part] - low) * (place - stop));
    const style = { fill: `rgb(${mixed.map(Math.round)})`, stroke: index ? "none" : "var(--best)", "stroke-width": 3 };
    const [cx, cy] = [x(point.x), y(point.y)];
    const box = { x: cx - wide / 2 + 1, y: cy - high / 2 + 1, width: wide - 2, height: high - 2 };
    const shape = isGrid ? add("rect", { ...box, ...style }) : add("circle", { cx, cy, r: 7, ...style });
    shape.classList.add("point");
    explain(shape, point.hover);
    const middle = { "text-anchor": "middle", "pointer-events": "none" };
    if (isGrid && wide > 48 && high > 16)
      add("text", { x: cx, y: cy + 4, ...middle }, short(point.mean)).style.fill = place > 2.4 ? "#000" : "#fff";
  }
  for (const point of chart.failed) drawCross(point, x(point.x), y(point.y));
}

if (svg) {
  draw();
  addEventListener("resize", draw);
}
