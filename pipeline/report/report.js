"use strict";
// Headers become buttons only here, so that without scripts nothing looks as if it could be clicked.
function compare(a, b) {
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? a.localeCompare(b) : difference;
}

function sort(header) {
  const rising = header.getAttribute("aria-sort") !== "ascending";
  for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const body = header.closest("table").tBodies[0];
  const keyed = [...body.rows].map(row => [row.cells[header.cellIndex].dataset.sort, row]);
  // What was not measured comes last, whichever way.
  const ordered = (a, b) => (a === "") - (b === "") || (a === "" ? 0 : (rising ? 1 : -1) * compare(a, b));
  body.append(...keyed.sort(([a], [b]) => ordered(a, b)).map(([, row]) => row));
}

for (const header of document.querySelectorAll(".sortable thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  button.addEventListener("click", () => sort(header));
  header.append(button);
}

// An element with attributes and children; text is only ever text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Paper cannot be unfolded.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(part => (part.open = true)));
