// The network: decodes its weights from base64, and computes the forward passes of encoder and decoder.
function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -14 * (fraction / 1024);
}

function decodeWeights(text, precision) {
  if (precision === "single") return decodeFloats(text);
  return Float32Array.from(new Uint16Array(decodeBase64(text).buffer), halfToFloat);
}

// Abramowitz and Stegun 7.1.26, with an error of at most 1.5e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}

const activations = {
  relu: (x) => (x > 0 ? x : 0),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  leaky_relu: (x) => (x > 0 ? x : 0.01 * x),
  tanh: Math.tanh,
};

// What a bottleneck makes of the encoder's output; the settings are those of its Python class.
const bottlenecks = {
  mean: ({ count }) => (values) => values.subarray(0, count),
  top_k: ({ k }) => (values) => {
    const smallest = Float32Array.from(values).sort()[values.length - k];
    return values.map((value) => (value >= smallest ? value : 0));
  },
  fsq: ({ steps, outermost, offset }) => {
    const shift = Math.atanh(offset / outermost);
    return (values) => values.map((value) => Math.round(Math.tanh(value + shift) * outermost - offset) / steps);
  },
};

// {encode, decode} of the model in the page, null if it contains none.
function buildNetwork(description) {
  if (!description) return null;
  const weights = decodeWeights(description.weights, description.precision);
  let position = 0;
  const take = (count) => weights.subarray(position, (position += count));
  const [encoder, decoder] = [description.encoder, description.decoder].map((layers) =>
    layers.map((layer) => buildLayer(layer, take)));
  const forward = (layers, input) => layers.reduce((values, layer) => layer(values), Float32Array.from(input));
  return { encode: (image) => forward(encoder, image), decode: (latent) => forward(decoder, latent) };
}

// The function of a layer, from values to values; `take` gives the next weights.
function buildLayer(layer, take) {
  if (activations[layer.kind]) return (values) => values.map(activations[layer.kind]);
  if (bottlenecks[layer.kind]) return bottlenecks[layer.kind](layer);
  if (layer.kind === "linear") return linear(take(layer.inputs * layer.outputs), take(layer.outputs));
  return buildConvolution(layer, take);
}

// The matrix is [outputs, inputs].
function linear(matrix, bias) {
  return (values) => {
    const width = values.length;
    const next = new Float32Array(bias.length);
    for (let row = 0, at = 0; row < next.length; row++) {
      let sum = bias[row];
      for (let column = 0; column < width; column++) sum += matrix[at++] * values[column];
      next[row] = sum;
    }
    return next;
  };
}
