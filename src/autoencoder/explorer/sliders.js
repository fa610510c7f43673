// The sliders, one per latent dimension, and the digit that the decoder makes from them.
function startSliders(network) {
  const latent = Float32Array.from(data.range.mean);
  const inputs = [];
  const outputs = [];

  function draw() {
    paintImage(element("digit"), network.decode(latent));
  }

  function showValue(index) {
    outputs[index].textContent = latent[index].toFixed(2);
    inputs[index].setAttribute("aria-valuetext", latent[index].toFixed(2));
  }

  function addSlider(index) {
    const [low, high] = [data.range.low[index], data.range.high[index]];
    const row = create("div", "", "slider");
    const label = create("label", `z${index}`);
    const input = create("input");
    const output = create("output");
    Object.assign(input, { type: "range", id: `z${index}` });
    const width = Math.max(high - low, 1e-6);
    Object.assign(input, { min: low, max: low + width, step: width / 200 });
    label.htmlFor = input.id;
    input.setAttribute("aria-label", `latent dimension ${index}`);
    input.addEventListener("input", () => {
      latent[index] = input.valueAsNumber;
      showValue(index);
      draw();
      element("origin-text").textContent = "where the sliders started";
    });
    row.append(label, input, output);
    element("slider-list").append(row);
    inputs.push(input);
    outputs.push(output);
  }

  // Sets the sliders to a latent; `pixels` (0..255) and `text` show the image that it comes from, if any.
  function show(values, pixels = null, text = "") {
    latent.set(values);
    inputs.forEach((input, index) => {
      input.value = latent[index];
      showValue(index);
    });
    draw();
    element("origin").hidden = !pixels;
    if (pixels) paintPixels(element("origin-image"), pixels);
    element("origin-text").textContent = text;
    announce(text ? `On the sliders: ${text}` : "The sliders are at the mean of the test images");
  }

  // Sets the sliders to a test image's latent.
  function showSample(index) {
    const pixels = samples.image(index);
    const image = normalize(pixels);
    const values = network.encode(image);
    const error = meanSquaredError(image, network.decode(values));
    show(values, pixels, `a test image of class ${className(samples.classes[index])}, mse ${error.toFixed(4)}`);
  }

  for (let index = 0; index < data.latent_dim; index++) addSlider(index);
  element("reset").addEventListener("click", () => show(data.range.mean));
  element("random").addEventListener("click", () => showSample(Math.floor(Math.random() * samples.count)));
  showSample(data.start);
  return { show };
}
