// Everything works without scripts; these make it quicker and draw the charts.
import { draw } from "./charts.js";
import { follow } from "./live.js";
import { sortable } from "./tables.js";
import { copying, tidy } from "./forms.js";

export function begin(root) {
  sortable(root);
  copying(root);
  draw(root);
}

tidy(document.getElementById("question"));
begin(document);
follow(begin);
