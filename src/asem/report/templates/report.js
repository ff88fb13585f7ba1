"use strict";
// Tables sort by click, Enter or space on the head of a column; a filter selects rows by their text.
const status = document.getElementById("status");
const MISSING = "–";

function numberOf(text) {
  return Number(text.replaceAll(",", ""));
}

function compareTexts(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}

// Ids above 2^53 that are the same number are compared by their digits.
function compareNumbers(a, b) {
  return numberOf(a) - numberOf(b) || compareTexts(a, b);
}

function sortTable(table, head) {
  const descending = head.getAttribute("aria-sort") === "ascending";
  const column = head.cellIndex;
  const compare = head.classList.contains("number") ? compareNumbers : compareTexts;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row, index) => {
    const text = row.cells[column].textContent;
    return { row, index, key: text === MISSING ? null : text };
  });
  const sign = descending ? -1 : 1;
  rows.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.index - b.index;
    return sign * compare(a.key, b.key) || a.index - b.index;
  });
  body.append(...rows.map(({ row }) => row));
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  status.textContent = `Sorted by ${head.textContent.trim()}, ${head.getAttribute("aria-sort")}`;
}

function addFilter(table) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const count = document.createElement("span");
  label.className = "filter";
  input.type = "search";
  label.append("Rows that contain", input, count);
  table.closest(".table").prepend(label);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase();
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !Array.from(row.cells).some((cell) => cell.textContent.toLowerCase().includes(words));
      shown += !row.hidden;
    }
    count.textContent = words ? `${shown} of ${table.tBodies[0].rows.length}` : "";
    status.textContent = count.textContent;
  });
}

for (const table of document.querySelectorAll("table.sorted")) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortTable(table, head));
    head.append(button);
  }
  if (table.classList.contains("filtered")) addFilter(table);
}
