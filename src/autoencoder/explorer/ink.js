// Reads the drawing area as an image for the encoder: white ink centred as in MNIST, or a colour picture as it is.
const LONG_SIDE = Math.max(data.width, data.height);
const PAD_SCALE = Math.max(1, Math.round(280 / LONG_SIDE)); // pixels of the pad per pixel of an image
const PAD_SIZE = PAD_SCALE * LONG_SIDE;
const BOX = 20 / 28; // MNIST's digits fill a box of 20 of the 28 pixels

// The rectangle of the pad that a test image fills: left, top, width, height.
function frameOfImage() {
  const [width, height] = [data.width * PAD_SCALE, data.height * PAD_SCALE];
  return [Math.floor((PAD_SIZE - width) / 2), Math.floor((PAD_SIZE - height) / 2), width, height];
}

// The picture in that rectangle as an image in [-1, 1], channel by channel; each pixel is the mean of its square.
function readColours(context) {
  const rgba = context.getImageData(...frameOfImage()).data;
  const image = new Float32Array(IMAGE_SIZE).fill(-1);
  const share = 1 / (127.5 * PAD_SCALE * PAD_SCALE);
  for (let y = 0, at = 0; y < data.height * PAD_SCALE; y++) {
    const row = Math.floor(y / PAD_SCALE) * data.width;
    for (let x = 0; x < data.width * PAD_SCALE; x++, at += 4) {
      const index = row + Math.floor(x / PAD_SCALE);
      for (let colour = 0; colour < 3; colour++) image[colour * PLANE_SIZE + index] += rgba[at + colour] * share;
    }
  }
  return image;
}

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
