// The sliders, one per principal axis or raw dimension, and the image that the decoder makes from their latent.
function startSliders(network) {
  const latent = Float32Array.from(data.mean);
  const watchers = [];
  let axes = null; // the set of axes that the sliders follow, one of data.axes
  let directions = null; // of these axes, [sliders, latent_dim]; null for the raw dimensions
  let rows = []; // {input, output} of each slider

  function draw() {
    paintImage(element("decoded"), network.decode(latent));
    for (const watcher of watchers) watcher(latent);
  }

  const direction = (index) => directions.subarray(index * data.latent_dim, (index + 1) * data.latent_dim);

  // The latent's place along an axis, from the axes' origin.
  function coordinate(index) {
    if (!directions) return latent[index];
    return direction(index).reduce((sum, value, each) => sum + value * (latent[each] - axes.origin[each]), 0);
  }

  // Moves the latent along one axis and leaves its place on the others, also where it is beyond a slider's end.
  function moveAlong(index, value) {
    if (!directions) latent[index] = value;
    else {
      const step = value - coordinate(index);
      direction(index).forEach((part, each) => { latent[each] += step * part; });
    }
  }

  function showValue(index, value) {
    rows[index].output.textContent = rows[index].input.ariaValueText = value.toFixed(2);
  }

  function showValues() {
    rows.forEach(({ input }, index) => {
      const value = coordinate(index);
      input.value = value;
      showValue(index, value);
    });
  }

  function addSlider(label, index) {
    const [low, high] = [axes.low[index], axes.high[index]];
    const row = create("div", "", "slider");
    const name = create("label", label);
    const input = create("input");
    const output = create("output");
    const width = Math.max(high - low, 1e-6);
    Object.assign(input, { type: "range", id: label, min: low, max: low + width, step: width / 200 });
    name.htmlFor = input.id;
    input.ariaLabel = row.title = axes.titles[index];
    input.addEventListener("input", () => {
      moveAlong(index, input.valueAsNumber);
      showValue(index, input.valueAsNumber);
      draw();
      element("origin-text").textContent = "where the sliders started";
    });
    row.append(name, input, output);
    element("slider-list").append(row);
    rows.push({ input, output });
  }

  // Makes the sliders follow another set of axes; the latent stays as it is.
  function follow(set) {
    axes = set;
    directions = set.directions && decodeFloats(set.directions);
    rows = [];
    element("slider-list").replaceChildren();
    set.labels.forEach(addSlider);
    element("sliders-hint").textContent = set.hint;
    showValues();
  }

  // Sets the sliders to a latent; `pixels` (0..255) and `text` show the image that it comes from, if any.
  function show(values, pixels = null, text = "") {
    latent.set(values);
    showValues();
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

  // Sets the sliders to a sample of the standard normal prior (Box and Muller, 1958).
  function showPriorSample() {
    const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
    show(Float32Array.from(latent, normal), null, "a sample of the prior");
  }

  element("prior-sample").hidden = !data.has_prior;
  element("prior-sample").addEventListener("click", showPriorSample);
  addChoices(element("axis-sets"), data.axes, follow);
  element("reset").addEventListener("click", () => show(data.mean));
  element("random").addEventListener("click", () => showSample(Math.floor(Math.random() * samples.count)));
  showSample(data.start);

  // Calls a function with the latent, now and after every change.
  function watch(watcher) {
    watchers.push(watcher);
    watcher(latent);
  }
  return { show, watch };
}
