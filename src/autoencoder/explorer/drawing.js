// The drawing area: centres the drawing as in MNIST, and encodes and decodes it after every stroke.
const PAD_SIZE = 280;
const PEN_WIDTH = 22;
const BOX = 20 / 28; // MNIST's digits fill a box of 20 of the 28 pixels

// The ink at each pixel of the pad, 0..255.
function inkOf(context) {
  const rgba = context.getImageData(0, 0, PAD_SIZE, PAD_SIZE).data;
  const ink = new Uint8Array(PAD_SIZE * PAD_SIZE);
  for (let index = 0; index < ink.length; index++) ink[index] = rgba[4 * index];
  return ink;
}

// The centre of mass of the ink and the size of its bounding box; null on an empty pad.
function measureInk(ink) {
  let [mass, sumX, sumY] = [0, 0, 0];
  let [left, right, top, bottom] = [PAD_SIZE, -1, PAD_SIZE, -1];
  for (let y = 0; y < PAD_SIZE; y++) {
    for (let x = 0; x < PAD_SIZE; x++) {
      const value = ink[y * PAD_SIZE + x];
      if (!value) continue;
      mass += value;
      sumX += value * (x + 0.5);
      sumY += value * (y + 0.5);
      [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
    }
  }
  if (!mass) return null;
  return { x: sumX / mass, y: sumY / mass, size: Math.max(right - left, bottom - top) + 1 };
}

// The drawing as an image in [-1, 1], with its centre of mass in the middle, and shrunk if larger than MNIST's box.
function centreInk(ink) {
  const image = new Float32Array(IMAGE_SIZE);
  const where = measureInk(ink);
  if (!where) return image.fill(-1);
  const side = Math.min(data.width, data.height);
  const scale = Math.min(side / PAD_SIZE, (BOX * side) / where.size);
  const share = (scale * scale) / 255; // of an image pixel, per unit of ink in a pixel of the pad
  const add = (x, y, amount) => {
    if (x >= 0 && x < data.width && y >= 0 && y < data.height) image[y * data.width + x] += amount;
  };
  for (let index = 0; index < ink.length; index++) {
    if (!ink[index]) continue;
    const x = ((index % PAD_SIZE) + 0.5 - where.x) * scale + data.width / 2 - 0.5;
    const y = (Math.floor(index / PAD_SIZE) + 0.5 - where.y) * scale + data.height / 2 - 0.5;
    const [column, row] = [Math.floor(x), Math.floor(y)];
    const [right, down] = [x - column, y - row];
    const amount = ink[index] * share;
    add(column, row, amount * (1 - right) * (1 - down));
    add(column + 1, row, amount * right * (1 - down));
    add(column, row + 1, amount * (1 - right) * down);
    add(column + 1, row + 1, amount * right * down);
  }
  return image.map((value) => 2 * Math.min(value, 1) - 1);
}

function startDrawing(network, sliders) {
  const pad = element("pad");
  const context = pad.getContext("2d", { willReadFrequently: true });
  let image = new Float32Array(IMAGE_SIZE).fill(-1);
  let latent = null;
  let pending = false;
  let untouched = true; // the pad still shows the test image that the page opens on

  function update() {
    pending = false;
    const ink = inkOf(context);
    reconstruct(centreInk(ink), !measureInk(ink));
  }

  function reconstruct(seen, empty) {
    image = seen;
    paintImage(element("drawn"), image);
    latent = network.encode(image);
    const decoded = network.decode(latent);
    paintImage(element("redrawn"), empty ? image : decoded);
    const error = empty ? "–" : meanSquaredError(image, decoded).toFixed(4);
    element("drawing-error").textContent = error;
    element("to-sliders").disabled = empty;
    announce(empty ? "The drawing area is empty" : `Drawing reconstructed, mse ${error}`);
  }

  // Runs the network at most once per frame, however many pointer events arrive.
  function schedule() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(update);
  }

  function line(from, to) {
    if (untouched) clear();
    context.strokeStyle = "#fff";
    context.lineWidth = PEN_WIDTH;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y);
    context.stroke();
    schedule();
  }

  function clear() {
    untouched = false;
    context.fillStyle = "#000";
    context.fillRect(0, 0, PAD_SIZE, PAD_SIZE);
    schedule();
  }

  // Puts a test image on the pad; the encoder gets the original image, not a centred copy.
  function showSample(index) {
    const pixels = document.createElement("canvas");
    paintPixels(pixels, samples.image(index));
    const scale = PAD_SIZE / Math.max(data.width, data.height);
    const [width, height] = [data.width * scale, data.height * scale];
    context.fillRect(0, 0, PAD_SIZE, PAD_SIZE);
    context.imageSmoothingEnabled = false;
    context.drawImage(pixels, (PAD_SIZE - width) / 2, (PAD_SIZE - height) / 2, width, height);
    reconstruct(normalize(samples.image(index)), false);
  }

  function place(event) {
    const box = pad.getBoundingClientRect();
    const [width, height] = [pad.clientWidth, pad.clientHeight];
    return {
      x: ((event.clientX - box.left - pad.clientLeft) / width) * PAD_SIZE,
      y: ((event.clientY - box.top - pad.clientTop) / height) * PAD_SIZE,
    };
  }

  let last = null;
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pad.setPointerCapture(event.pointerId);
    last = place(event);
    line(last, last);
  });
  pad.addEventListener("pointermove", (event) => {
    if (!last) return;
    const points = event.getCoalescedEvents?.() ?? [];
    for (const each of points.length ? points : [event]) {
      const next = place(each);
      line(last, next);
      last = next;
    }
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => { last = null; });

  const pen = { x: PAD_SIZE / 2, y: PAD_SIZE / 2, down: false };
  const moves = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };
  const inside = (value) => Math.min(Math.max(value, 0), PAD_SIZE);
  pad.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) line(pen, pen);
      announce(pen.down ? "Pen down" : "Pen up");
    } else if (moves[event.key]) {
      const before = { x: pen.x, y: pen.y };
      const [right, down] = moves[event.key];
      Object.assign(pen, { x: inside(pen.x + right), y: inside(pen.y + down) });
      if (pen.down) line(before, pen);
      else announce(`Pen at ${Math.round(pen.x / 2.8)} % across, ${Math.round(pen.y / 2.8)} % down`);
    } else {
      return;
    }
    event.preventDefault();
  });

  element("clear").addEventListener("click", clear);
  element("to-sliders").addEventListener("click", () => {
    sliders.show(latent, image.map((value) => (value + 1) * 127.5), untouched ? "the test image on the drawing area" : "your drawing");
    element("sliders").scrollIntoView({ block: "nearest" });
  });
  showSample(data.start);
}
