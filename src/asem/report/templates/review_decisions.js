// Decisions about objects as CSV, and their objects: the same rules as in
// asem.measure.review_decisions. An object has id and p, a decision id, decision, p and comment.
"use strict";

const COLUMNS = ["object_id", "decision", "z_nm", "y_nm", "x_nm", "comment"];
const MATCH_NM = 50;

function formatField(text) {
  return /[",\r\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
}

function formatDecisions(rows) {
  const lines = rows.map((row) =>
    [row.id, row.decision, ...row.p.map(String), row.comment].map(formatField).join(","));
  return [COLUMNS.join(","), ...lines, ""].join("\n");
}

// Returns the rows of a CSV file, an array of texts each; throws Error where a quote is not closed.
function splitRows(text) {
  const rows = [];
  let row = [], field = "", quoted = false, at = 0;
  const endRow = () => {
    row.push(field);
    if (row.some((value) => value.trim() !== "")) rows.push(row);
    row = [];
    field = "";
  };
  for (; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character !== '"') field += character;
      else if (text[at + 1] === '"') { field += '"'; at++; }
      else quoted = false;
    } else if (character === '"' && field === "") quoted = true;
    else if (character === ",") { row.push(field); field = ""; }
    else if (character === "\n" || character === "\r") endRow();
    else field += character;
  }
  if (quoted) throw new Error("the file is damaged: a quote is not closed");
  endRow();
  return rows;
}

// Returns the decisions of a CSV file; throws Error where it is none.
function parseDecisions(text) {
  const rows = splitRows(text.replace(/^\ufeff/, ""));
  if (!rows.length) throw new Error("the file is empty");
  const columns = rows[0].map((name) => name.trim());
  if (columns.length === 1 && /[;\t]/.test(columns[0])) {
    throw new Error("the file has no commas between its columns; save it as CSV with commas");
  }
  for (const name of COLUMNS.slice(0, 5)) {
    if (!columns.includes(name)) {
      throw new Error(`the file has no column ${name}; its columns are ${COLUMNS.join(",")}`);
    }
  }
  for (const name of columns) {
    if (!COLUMNS.includes(name)) throw new Error(`the file has a column ${name}`);
  }
  return rows.slice(1).map((row, number) => {
    const place = `row ${number + 2}`;
    if (row.length !== columns.length) throw new Error(`${place}: the row may be cut off`);
    const value = (name) => row[columns.indexOf(name)] || "";
    const decision = value("decision").trim().toLowerCase();
    if (!["accept", "reject", ""].includes(decision)) {
      throw new Error(`${place}: the decision ${decision}; write accept, reject, or nothing`);
    }
    const id = value("object_id").trim();
    if (!/^[0-9]{1,20}$/.test(id)) throw new Error(`${place}: the object_id ${id} is no id`);
    const p = ["z_nm", "y_nm", "x_nm"].map((name) => value(name).trim());
    if (!p.every((each) => each !== "" && isFinite(Number(each)))) {
      throw new Error(`${place}: the position is no number of nm`);
    }
    return {id: id.replace(/^0+(?=[0-9])/, ""), decision, p: p.map(Number), comment: value("comment")};
  });
}

// Returns for each decision the index of its object, -1 where there is none: that of the same id
// at its position, or else the nearest other one there.
function matchDecisions(decisions, objects) {
  const pairs = [];
  decisions.forEach((one, number) => objects.forEach((object, index) => {
    if (Math.abs(one.p[0] - object.p[0]) > MATCH_NM) return;
    const distance = Math.hypot(...one.p.map((value, axis) => value - object.p[axis]));
    if (distance <= MATCH_NM) pairs.push([object.id === one.id ? 0 : 1, distance, number, index]);
  }));
  pairs.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]);
  const found = decisions.map(() => -1);
  const taken = new Set();
  for (const [, , number, index] of pairs) {
    if (found[number] < 0 && !taken.has(index)) {
      found[number] = index;
      taken.add(index);
    }
  }
  return found;
}
