// The map of the test images' latents, with thumbnails on hover and interpolation between two chosen points.
const STEPS = 9;

function startMap(network) {
  const canvas = element("map-canvas");
  const context = canvas.getContext("2d");
  const background = document.createElement("canvas");
  const ends = []; // the indices of the chosen samples, at most two
  let current = -1; // the sample under the pointer or the keyboard
  let size = { width: 0, height: 0 }; // in CSS pixels; 0 before the first layout
  const places = new Float32Array(2 * samples.count); // in CSS pixels
  let points = null; // x and y of each sample, in the units of the current map
  let bounds = []; // of its two axes

  const styleValue = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const place = (index) => [places[2 * index], places[2 * index + 1]];
  const describe = (index) => `class ${className(samples.classes[index])}, mse ${samples.errors[index].toFixed(4)}`;

  // Shows one of the page's maps; chosen points stay chosen.
  function choose(map) {
    points = decodeFloats(map.points);
    bounds = [0, 1].map((axis) => {
      const values = points.filter((_, index) => index % 2 === axis);
      const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
      return { low, range: Math.max(high - low, 1e-6) };
    });
    const [across, up] = map.axes;
    element("axes").textContent = `Across: ${across}. ${up ? `Up: ${up}. ` : ""}${map.note}`;
    moveTo(-1);
    layOut();
  }

  // Fits the map to its box, and draws all points once, on the background canvas.
  function layOut() {
    const margin = 12;
    size = { width: canvas.clientWidth, height: canvas.clientHeight };
    const ratio = window.devicePixelRatio || 1;
    for (const each of [canvas, background]) {
      each.width = Math.round(size.width * ratio);
      each.height = Math.round(size.height * ratio);
      each.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    const brush = background.getContext("2d");
    brush.globalAlpha = 0.8;
    brush.strokeStyle = styleValue("--rim");
    for (let index = 0; index < samples.count; index++) {
      const [x, y] = [0, 1].map((axis) => (points[2 * index + axis] - bounds[axis].low) / bounds[axis].range);
      places[2 * index] = margin + x * (size.width - 2 * margin);
      places[2 * index + 1] = size.height - margin - y * (size.height - 2 * margin);
      brush.fillStyle = data.classes[samples.classes[index]].color;
      brush.beginPath();
      brush.arc(...place(index), 3, 0, 2 * Math.PI);
      brush.fill();
      brush.stroke();
    }
    redraw();
  }

  function ring([x, y], radius, text = "") {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    if (text) {
      context.fillStyle = styleValue("--ink");
      context.fill();
      context.fillStyle = styleValue("--panel");
      context.font = "bold 12px system-ui, sans-serif";
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(text, x, y + 0.5);
    } else {
      context.lineWidth = 2;
      context.strokeStyle = styleValue("--ink");
      context.stroke();
    }
  }

  function redraw() {
    if (!size.width || !size.height) return;
    context.clearRect(0, 0, size.width, size.height);
    context.drawImage(background, 0, 0, size.width, size.height);
    if (ends.length === 2) {
      const [from, to] = ends.map(place);
      const at = element("position").valueAsNumber;
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...to);
      context.lineWidth = 2;
      context.strokeStyle = styleValue("--ink");
      context.stroke();
      ring([0, 1].map((axis) => from[axis] + at * (to[axis] - from[axis])), 5);
    }
    ends.forEach((index, end) => ring(place(index), 10, "AB"[end]));
    if (current >= 0) ring(place(current), 6);
  }

  function showTip() {
    const tip = element("tip");
    tip.hidden = current < 0;
    if (current < 0) return;
    paintPixels(element("tip-image"), samples.image(current));
    element("tip-text").textContent = describe(current);
    const [x, y] = place(current);
    const left = x + 14 + tip.offsetWidth > size.width ? x - 14 - tip.offsetWidth : x + 14;
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${Math.min(Math.max(0, y - tip.offsetHeight / 2), size.height - tip.offsetHeight)}px`;
  }

  function moveTo(index) {
    if (index === current) return;
    current = index;
    redraw();
    showTip();
  }

  function nearest(x, y, reach) {
    let [best, least] = [-1, reach * reach];
    for (let index = 0; index < samples.count; index++) {
      const distance = (places[2 * index] - x) ** 2 + (places[2 * index + 1] - y) ** 2;
      if (distance < least) [best, least] = [index, distance];
    }
    return best;
  }

  // The nearest point within 45 degrees of a direction; the current one if there is none.
  function neighbour(right, down) {
    let [best, least] = [current, Infinity];
    const [x, y] = place(current);
    for (let index = 0; index < samples.count; index++) {
      const [dx, dy] = [places[2 * index] - x, places[2 * index + 1] - y];
      const ahead = dx * right + dy * down;
      const distance = dx * dx + dy * dy;
      if (ahead > 0 && 2 * ahead * ahead >= distance && distance < least) [best, least] = [index, distance];
    }
    return best;
  }

  function between(weight) {
    const [from, to] = ends.map(samples.latent);
    return from.map((value, index) => value + weight * (to[index] - value));
  }

  function walk() {
    paintImage(element("between"), network.decode(between(element("position").valueAsNumber)));
    redraw();
  }

  function pick(index) {
    if (!network || index < 0) return;
    if (ends.length === 2) ends.length = 0;
    ends.push(index);
    const complete = ends.length === 2;
    const end = complete ? "B" : "A";
    announce(`Point ${end}: ${describe(index)}. ${complete ? "The slider moves from A to B" : "Choose point B"}`);
    element("position").disabled = !complete;
    if (!complete) return redraw();
    [...element("strip").children].forEach((step, number) =>
      paintImage(step, network.decode(between(number / (STEPS - 1)))));
    walk();
  }

  function position(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop];
  }
  const reach = (event) => (event.pointerType === "touch" ? 30 : 15);

  canvas.addEventListener("pointermove", (event) => moveTo(nearest(...position(event), reach(event))));
  canvas.addEventListener("pointerleave", () => moveTo(-1));
  canvas.addEventListener("click", (event) => {
    const index = nearest(...position(event), reach(event));
    moveTo(index);
    pick(index);
  });
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") pick(current);
    else if (!moves[event.key]) return;
    else {
      moveTo(current < 0 ? nearest(size.width / 2, size.height / 2, Infinity) : neighbour(...moves[event.key]));
      announce(describe(current));
    }
    event.preventDefault();
  });
  canvas.addEventListener("blur", () => moveTo(-1));
  element("position").addEventListener("input", walk);

  const ofAll = samples.count < data.test_images ? ` of ${data.test_images.toLocaleString("en")}` : "";
  element("map-title").textContent = `Map of ${samples.count.toLocaleString("en")}${ofAll} test images`;
  addChoices(element("projections"), data.samples.maps, choose);
  for (const { name, color } of data.classes) {
    const entry = create("li", name);
    const swatch = create("span", "", "swatch");
    swatch.style.background = color;
    entry.prepend(swatch);
    element("legend").append(entry);
  }
  if (network) {
    element("map-hint").textContent =
      "Click two points, or step with the arrow keys and choose with Enter, to interpolate between them.";
    for (let step = 0; step < STEPS; step++) element("strip").append(create("canvas", "", "pixels"));
    const second = samples.classes.findIndex((each) => each !== samples.classes[data.start]);
    ends.push(data.start);
    pick(Math.max(second, 0));
  }
  new ResizeObserver(layOut).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", layOut);
}
