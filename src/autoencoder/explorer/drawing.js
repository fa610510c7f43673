// The drawing area: opens on a test image, and encodes and decodes the drawing after every stroke.
const PEN_WIDTH = (22 / 280) * PAD_SIZE;
const IN_COLOUR = data.channels === 3;

function startDrawing(network, sliders) {
  const pad = element("pad");
  pad.width = pad.height = PAD_SIZE;
  const context = pad.getContext("2d", { willReadFrequently: true });
  let image = new Float32Array(IMAGE_SIZE).fill(-1);
  let latent = null;
  let pending = false;
  let untouched = true; // the pad still shows the test image that the page opens on
  let empty = false;

  function update() {
    pending = false;
    reconstruct(IN_COLOUR ? readColours(context) : centreInk(inkOf(context)));
  }

  function reconstruct(seen) {
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
    if (untouched && !IN_COLOUR) clear();
    untouched = empty = false;
    context.strokeStyle = IN_COLOUR ? element("colour").value : "#fff";
    context.lineWidth = PEN_WIDTH;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y);
    context.stroke();
    schedule();
  }

  function fill(colour, isEmpty = false) {
    untouched = false;
    empty = isEmpty;
    context.fillStyle = colour;
    context.fillRect(0, 0, PAD_SIZE, PAD_SIZE);
    schedule();
  }

  const clear = () => fill("#000", true);

  // Puts a test image on the pad; the encoder gets the original image, not a centred copy.
  function showSample(index) {
    const pixels = document.createElement("canvas");
    paintPixels(pixels, samples.image(index));
    context.fillRect(0, 0, PAD_SIZE, PAD_SIZE);
    context.imageSmoothingEnabled = false;
    context.drawImage(pixels, ...frameOfImage());
    reconstruct(normalize(samples.image(index)));
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
  const step = PAD_SIZE / 28;
  const percent = (value) => Math.round((100 * value) / PAD_SIZE);
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
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
      else announce(`Pen at ${percent(pen.x)} % across, ${percent(pen.y)} % down`);
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
  element("fill").addEventListener("click", () => fill(element("colour").value));
  element("colours").hidden = !IN_COLOUR;
  element("drawing-start").textContent = IN_COLOUR ? "paint over the test image, or clear it" : "the first stroke clears the test image";
  showSample(data.start);
  if (IN_COLOUR) { // what lies outside the image would not be seen
    context.beginPath();
    context.rect(...frameOfImage());
    context.clip();
  }
}
