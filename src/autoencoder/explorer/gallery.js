// The worst reconstructions, and the table of metrics.
function showWorst() {
  const { pixels, reconstructions, errors, classes, indices } = data.worst;
  const [above, below] = [decodeBase64(pixels), decodeBase64(reconstructions)];
  classes.forEach((each, number) => {
    const name = className(each);
    const figure = create("figure");
    for (const [values, what] of [[above, "test image"], [below, "its reconstruction"]]) {
      const canvas = create("canvas", "", "pixels");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${what}, class ${name}, number ${indices[number]}`);
      paintPixels(canvas, values.subarray(number * IMAGE_SIZE, (number + 1) * IMAGE_SIZE));
      figure.append(canvas);
    }
    figure.append(create("figcaption", `${name} · ${errors[number].toFixed(3)}`));
    element("worst-list").append(figure);
  });
}

function showMetrics() {
  const [header, ...rows] = data.metrics;
  element("no-metrics").hidden = Boolean(header);
  if (!header) return element("metrics").remove();
  const line = (cells, tag, scope) => {
    const row = create("tr");
    cells.forEach((text, column) => {
      const cell = create(column ? tag : "th", text);
      if (!column || tag === "th") cell.scope = scope(column);
      row.append(cell);
    });
    return row;
  };
  const head = create("thead");
  head.append(line(header, "th", () => "col"));
  const body = create("tbody");
  body.append(...rows.map((cells) => line(cells, "td", () => "row")));
  element("metrics").append(head, body);
}
