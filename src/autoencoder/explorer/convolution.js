// Convolutions and transposed convolutions, of images [channels, height, width] as flat lists.

// For each place in a kernel's side: the pixels of the small image that meet the large one there, from the first to
// before the last, and the pixel of the large image that the first meets.
function meetings(small, large, kernel, stride, padding) {
  return Array.from({ length: kernel }, (_, place) => {
    const shift = place - padding;
    const first = Math.max(0, Math.ceil(-shift / stride));
    return { first, end: Math.min(small, Math.floor((large - 1 - shift) / stride) + 1), met: first * stride + shift };
  });
}

// Both kinds have weights [small channels, large channels, height, width], each of which joins the pixels (y, x) of the
// small image to the pixels (y, x) * stride - padding + its place in the kernel of the large one. A convolution adds
// up the small image, a transposed convolution the large one.
function buildConvolution({ kind, small, large, kernel, stride, padding }, take) {
  const enlarges = kind === "conv_transpose2d";
  const weights = take(small[0] * large[0] * kernel[0] * kernel[1]);
  const result = enlarges ? large : small;
  const bias = take(result[0]);
  const [smallSize, largeSize, resultSize] = [small, large, result].map(([, height, width]) => height * width);
  const [rows, columns] = [0, 1].map((side) =>
    meetings(small[side + 1], large[side + 1], kernel[side], stride[side], padding[side]));
  const [smallWidth, largeStep, across] = [small[2], large[2] * stride[0], stride[1]];

  // Adds what one weight makes of a pair of channels, which start at `near` and `far`.
  function add(values, next, weight, row, column, near, far) {
    const width = column.end - column.first;
    near += row.first * smallWidth + column.first;
    far += row.met * large[2] + column.met;
    for (let y = row.first; y < row.end; y++, near += smallWidth, far += largeStep) {
      if (enlarges) for (let x = 0, to = far; x < width; x++, to += across) next[to] += weight * values[near + x];
      else for (let x = 0, from = far; x < width; x++, from += across) next[near + x] += weight * values[from];
    }
  }

  return (values) => {
    const next = new Float32Array(result[0] * resultSize);
    bias.forEach((value, channel) => next.fill(value, channel * resultSize, (channel + 1) * resultSize));
    let at = 0;
    for (let near = 0; near < small[0] * smallSize; near += smallSize) {
      for (let far = 0; far < large[0] * largeSize; far += largeSize) {
        for (const row of rows) for (const column of columns) add(values, next, weights[at++], row, column, near, far);
      }
    }
    return next;
  };
}
