// The plane of a two-dimensional bottleneck: a grid of decoded images, on which a click or a key moves the sliders.
const CELLS = 15; // images across and up, from the 1 % to the 99 % quantile of the test images

function startPlane(network, sliders) {
  const canvas = element("plane-canvas");
  const context = canvas.getContext("2d");
  const { low, high } = data.axes.find((axes) => !axes.directions); // of the two raw dimensions
  const steps = [0, 1].map((axis) => Math.max(high[axis] - low[axis], 1e-6) / (CELLS - 1));
  const current = new Float32Array(2); // the latent on the sliders
  const images = document.createElement("canvas");
  Object.assign(images, { width: CELLS * data.width, height: CELLS * data.height });
  let withPoints = false;

  // Decodes one row of the grid, the topmost first, and the next one in a later task: the page stays responsive.
  function decodeRow(row) {
    const image = document.createElement("canvas");
    for (let column = 0; column < CELLS; column++) {
      paintImage(image, network.decode([low[0] + column * steps[0], low[1] + (CELLS - 1 - row) * steps[1]]));
      images.getContext("2d").drawImage(image, column * data.width, row * data.height);
    }
    redraw();
    if (row + 1 < CELLS) setTimeout(() => decodeRow(row + 1));
  }

  // Where a latent lies on the canvas, from 0 to 1 across and down, at the centre of its cell.
  const place = (latent) => [
    ((latent[0] - low[0]) / steps[0] + 0.5) / CELLS,
    1 - ((latent[1] - low[1]) / steps[1] + 0.5) / CELLS,
  ];

  const latentAt = (across, down) => [
    low[0] + (across * CELLS - 0.5) * steps[0],
    low[1] + ((1 - down) * CELLS - 0.5) * steps[1],
  ];

  function dot(latent, radius) {
    const [across, down] = place(latent);
    context.beginPath();
    context.arc(across * canvas.clientWidth, down * canvas.clientHeight, radius, 0, 2 * Math.PI);
  }

  function redraw() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    context.scale(ratio, ratio);
    context.drawImage(images, 0, 0, width, height);
    if (withPoints) {
      context.strokeStyle = "#fff";
      context.lineWidth = 0.75;
      for (let index = 0; index < samples.count; index++) {
        dot(samples.latent(index), 3);
        context.fillStyle = data.classes[samples.classes[index]].color;
        context.fill();
        context.stroke();
      }
    }
    for (const [colour, lineWidth] of [["#000", 5], ["#fff", 2]]) { // a ring that can be seen on black and on white
      dot(current, 9);
      Object.assign(context, { strokeStyle: colour, lineWidth });
      context.stroke();
    }
  }

  function moveTo(latent) {
    sliders.show(latent, null, latent.map((value, axis) => `z${axis} ${value.toFixed(2)}`).join(", "));
  }

  function follow(event) {
    const box = canvas.getBoundingClientRect();
    moveTo(latentAt((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height));
  }
  canvas.addEventListener("click", follow);
  canvas.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch" && event.buttons & 1) follow(event); });

  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (!move) return;
    moveTo([0, 1].map((axis) => Math.min(Math.max(current[axis] + move[axis] * steps[axis], low[axis]), high[axis])));
    event.preventDefault();
  });

  const points = element("plane-points");
  points.addEventListener("click", () => {
    withPoints = !withPoints;
    points.ariaPressed = String(withPoints);
    redraw();
  });
  sliders.watch((latent) => {
    current.set(latent);
    redraw();
  });
  element("plane").hidden = false;
  canvas.style.aspectRatio = `${data.width} / ${data.height}`;
  decodeRow(0);
  new ResizeObserver(redraw).observe(canvas);
}
