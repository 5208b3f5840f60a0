// Tables that are sorted by buttons in their heads.
import { announce } from "./announce.js";

export function sortable(root) {
  for (const table of root.querySelectorAll("table[data-sortable]")) {
    for (const head of table.querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head));
      head.replaceChildren(button);
    }
  }
}

function sort(table, head) {
  const descending = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const numeric = head.dataset.sort === "number";
  const sign = descending ? -1 : 1;
  const rows = [...table.tBodies[0].rows].map((row) => [value(row.cells[head.cellIndex]), row]);
  rows.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // what is not known comes last
    return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
  announce(`Sorted by ${head.textContent.trim()}, ${head.getAttribute("aria-sort")}`);
}

function value(cell) {
  return cell.dataset.value ?? cell.textContent.trim();
}
