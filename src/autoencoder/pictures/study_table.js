// Sorts the tables of a study's page: a click on a heading sorts by it, a second click turns the order.
"use strict";

function sortTable(heading) {
  const table = heading.closest("table");
  const up = heading.getAttribute("aria-sort") !== "ascending";
  table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (row) => row.cells[heading.cellIndex].dataset.value ?? row.cells[heading.cellIndex].textContent;
  const rows = [...table.tBodies[0].rows].map((row) => [value(row), row]);
  rows.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // empty cells stay last
    const order = isNaN(a) || isNaN(b) ? a.localeCompare(b, "en", { numeric: true }) : a - b;
    return up ? order : -order;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}
document.querySelectorAll("th").forEach((heading) => heading.addEventListener("click", () => sortTable(heading)));
