// Shared by all parts of the explorer: its data, access to its elements, and functions that paint images.
const data = JSON.parse(document.getElementById("data").textContent);
const PLANE_SIZE = data.height * data.width; // values of one channel of an image
const IMAGE_SIZE = data.channels * PLANE_SIZE; // of a whole image, which lists them channel by channel

const element = (id) => document.getElementById(id);

// A new element; `text` is never parsed as markup.
function create(tag, text = "", className = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  if (className) node.className = className;
  return node;
}

// Fills an element with one button for each choice, by its `name`, and chooses the first; hidden if it is the only one.
function addChoices(container, choices, choose) {
  const buttons = choices.map(({ name }) => create("button", name));
  const press = (number) => {
    buttons.forEach((button, each) => { button.ariaPressed = String(each === number); });
    choose(choices[number]);
  };
  buttons.forEach((button, number) => {
    button.type = "button";
    button.addEventListener("click", () => press(number));
  });
  container.append(...buttons);
  container.hidden = buttons.length < 2;
  press(0);
}

function decodeBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

const decodeFloats = (text) => new Float32Array(decodeBase64(text).buffer);

const samples = {
  count: data.samples.classes.length,
  classes: data.samples.classes,
  errors: data.samples.errors,
  pixels: decodeBase64(data.samples.pixels),
  latents: decodeFloats(data.samples.latents),
  image: (index) => samples.pixels.subarray(index * IMAGE_SIZE, (index + 1) * IMAGE_SIZE),
  latent: (index) => samples.latents.subarray(index * data.latent_dim, (index + 1) * data.latent_dim),
};

// The name of a class, from its number in the page.
const className = (number) => data.classes[number].name;

// Converts pixels 0..255 to the model's range, [-1, 1].
const normalize = (pixels) => Float32Array.from(pixels, (pixel) => pixel / 127.5 - 1);

// Paints the values `value(index)`, 0..255, of an image, one pixel per canvas pixel; the style sheet enlarges the canvas.
function paint(canvas, value) {
  if (canvas.width !== data.width || canvas.height !== data.height) {
    canvas.width = data.width;
    canvas.height = data.height;
  }
  const planes = data.channels === 3 ? [0, PLANE_SIZE, 2 * PLANE_SIZE] : [0, 0, 0]; // where red, green and blue start
  const context = canvas.getContext("2d");
  const image = context.createImageData(data.width, data.height);
  for (let index = 0; index < PLANE_SIZE; index++) {
    planes.forEach((start, colour) => { image.data[4 * index + colour] = value(start + index); });
    image.data[4 * index + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

const paintPixels = (canvas, pixels) => paint(canvas, (index) => pixels[index]);
const paintImage = (canvas, image) => paint(canvas, (index) => (image[index] + 1) * 127.5);

function meanSquaredError(one, other) {
  let sum = 0;
  for (let index = 0; index < one.length; index++) sum += (one[index] - other[index]) ** 2;
  return sum / one.length;
}

// Announces a text to screen readers, 300 ms after the last call, so that gestures are not announced midway.
let announcement = 0;
function announce(text) {
  clearTimeout(announcement);
  announcement = setTimeout(() => { element("status").textContent = text; }, 300);
}
