// Starts all parts of the page; those that need a network are left out if the page contains none.
const network = buildNetwork(data.network);

element("title").textContent = `${data.title}, ${data.latent_dim} latent ${data.latent_dim === 1 ? "dimension" : "dimensions"}`;
element("facts").textContent = data.facts.join(" · ");
element("no-network").hidden = Boolean(network);
for (const part of document.querySelectorAll(".needs-network")) part.hidden = !network;

if (network) {
  const sliders = startSliders(network);
  startDrawing(network, sliders);
  if (data.latent_dim === 2) startPlane(network, sliders);
}
startMap(network);
showWorst();
showMetrics();
window.explorer = network; // {encode, decode}, for use in the browser's console
