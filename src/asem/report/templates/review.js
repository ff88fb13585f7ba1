const data = JSON.parse(document.getElementById("data").textContent);
const objects = data.objects;
const get = (id) => document.getElementById(id);
const STORE = "asem review " + data.key;
const WORDS = {accept: "\u2713 accepted", reject: "\u2717 rejected", "": "undecided"};
const AHEAD = "1500px";

const initial = objects.map(() => ({decision: "", comment: ""}));
for (const [index, decision, comment] of data.decisions) initial[index] = {decision, comment};
let current = 0;
let state = initial.map((one) => ({...one}));
let saved = state.map((one) => ({...one}));
let unmatched = data.unmatched;
let shown = objects.map((_, index) => index);
const undoable = [];

const differs = (a, b) => a.decision !== b.decision || a.comment !== b.comment;
const count = (decision) => state.filter((one) => one.decision === decision).length;

function report(text, isError = false) {
  get("status").textContent = text;
  get("status").classList.toggle("error", isError);
}

// Returns what differs from the decisions that the page was made with.
function listChanges(decisions) {
  const changes = {};
  decisions.forEach((one, index) => {
    if (differs(one, initial[index])) changes[objects[index].id] = [one.decision, one.comment];
  });
  return changes;
}

function store() {
  const stored = {base: data.base, changes: listChanges(state), saved: listChanges(saved)};
  try {
    localStorage.setItem(STORE, JSON.stringify(stored));
  } catch (error) {
    report("This browser stores no decisions: save them before you close the page.", true);
  }
}

function readStored() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORE)) || {changes: {}, saved: {}};
    const list = (changes) => objects.map((object, index) => [index, changes[object.id]])
      .filter(([, one]) => Array.isArray(one))
      .map(([index, [decision, comment]]) => ({index, decision: String(decision), comment: String(comment)}))
      .filter((one) => one.decision in WORDS && differs(one, initial[one.index]));
    return {isSame: stored.base === data.base, changes: list(stored.changes), saved: list(stored.saved)};
  } catch (error) {
    return {isSame: false, changes: [], saved: []};
  }
}

function makeElement(kind, properties = {}, ...children) {
  const element = Object.assign(document.createElement(kind), properties);
  element.append(...children);
  return element;
}

function makePath(className, d) {
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("class", className);
  path.setAttribute("d", d);
  return path;
}

function makePicture(object, picture) {
  const width = picture.columns * picture.pixel[1], height = picture.rows * picture.pixel[0];
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${picture.columns} ${picture.rows}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(makePath("mask", picture.mask), makePath("measured", picture.measured),
    makePath("measured dots", picture.dots));
  const image = makeElement("img", {
    alt: `${picture.title} of object ${object.id}`, decoding: "async", src: picture.image});
  const scale = makeElement("div", {className: "scale"});
  scale.style.width = `${5000 / width}%`;
  const box = makeElement("div", {className: "picture"}, image, svg, scale);
  box.style.width = `${data.pixels_per_nm * width}px`;
  box.style.height = `${data.pixels_per_nm * height}px`;
  return makeElement("figure", {}, box, makeElement("figcaption", {}, picture.title));
}

function makeWords(className, label, names) {
  const words = names.map((name) => makeElement("span", {title: data.words[name] || ""}, name));
  const parts = words.flatMap((word, n) => (n ? [", ", word] : [word]));
  return makeElement("p", {className}, `${label}: `, ...(parts.length ? parts : ["none"]));
}

function makeButton(className, text, keys, decision, index) {
  const button = makeElement("button", {type: "button", className}, text);
  button.dataset.decision = decision;
  button.setAttribute("aria-keyshortcuts", keys);
  button.addEventListener("click", () => decide([{index, decision}]));
  return button;
}

function fill(card, index) {
  if (card.childElementCount) return;
  const object = objects[index];
  const comment = makeElement("input", {className: "comment", placeholder: "comment"});
  comment.setAttribute("aria-label", `Comment on object ${object.id}`);
  comment.addEventListener("input", () => {
    state[index].comment = comment.value;
    store();
    countAll();
  });
  const text = makeElement("div", {className: "text"},
    ...object.lines.map((line) => makeElement("p", {}, line)),
    makeWords(object.flags.length ? "flags" : "words", "flags", object.flags),
    makeWords("words", "notes", object.notes),
    makeElement("div", {className: "buttons"},
      makeButton("yes", "Accept", "a", "accept", index), makeButton("no", "Reject", "r", "reject", index),
      makeButton("clear", "Undecided", "x", "", index)),
    comment);
  const pictures = object.pictures.map((picture) => makePicture(object, picture));
  card.append(
    makeElement("h2", {}, `${object.id}`, makeElement("span", {className: "decision"})),
    makeElement("div", {className: "body"}, ...pictures, text));
  draw(index);
  setTabStops(index);
}

const cards = objects.map((object, index) => {
  const card = makeElement("li", {className: "card", tabIndex: -1});
  card.dataset.index = index;
  return card;
});
const filler = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    fill(entry.target, Number(entry.target.dataset.index));
    filler.unobserve(entry.target);
  }
}, {rootMargin: `${AHEAD} 0px`});

function draw(index) {
  const card = cards[index], one = state[index];
  card.classList.toggle("accept", one.decision === "accept");
  card.classList.toggle("reject", one.decision === "reject");
  card.setAttribute("aria-label", `Object ${objects[index].id}, ${WORDS[one.decision]}`);
  if (!card.childElementCount) return;
  card.querySelector(".decision").textContent = WORDS[one.decision];
  for (const button of card.querySelectorAll(".buttons button")) {
    button.setAttribute("aria-pressed", String(button.dataset.decision === one.decision));
  }
  card.querySelector(".comment").value = one.comment;
}

function countAll() {
  const changed = state.filter((one, index) => differs(one, saved[index])).length;
  get("counts").textContent = `${shown.length} of ${objects.length} shown; ${count("accept")} accepted, `
    + `${count("reject")} rejected, ${count("")} undecided` + (changed ? `; ${changed} not saved` : "");
  get("save").classList.toggle("unsaved", changed > 0);
}

// Sets decisions, each {index, decision, comment}; without a comment, that of the object stays.
function decide(changes, isUndo = false) {
  const before = changes.map(({index}) => ({index, ...state[index]}));
  for (const {index, decision, comment} of changes) {
    state[index] = {decision, comment: comment === undefined ? state[index].comment : comment};
    draw(index);
  }
  if (!isUndo) undoable.push(before);
  store();
  countAll();
  if (changes.length === 1) reportDecision(changes[0].index);
}

function reportDecision(index) {
  const stay = objects[index].flags.filter((name) => !data.overridable.includes(name) && name !== "rejected");
  const isLeftOut = state[index].decision === "accept" && stay.length;
  report(cards[index].getAttribute("aria-label") + (isLeftOut ? `; still left out: ${stay.join(", ")}` : ""));
}

function undo() {
  const before = undoable.pop();
  if (!before) return report("Nothing to undo.");
  decide(before, true);
  goTo(before[0].index);
  report(before.length === 1 ? `Undone: ${get("status").textContent}` : `Undone: ${before.length} decisions`);
}

function goTo(index) {
  if (index === undefined || cards[index].hidden) return;
  setCurrent(index);
  fill(cards[index], index);
  cards[index].focus({preventScroll: true});
  cards[index].scrollIntoView({block: "nearest"});
}

// Only what is in the current card can be reached with Tab.
function setTabStops(index) {
  for (const control of [cards[index], ...cards[index].querySelectorAll("button, input")]) {
    control.tabIndex = index === current ? 0 : -1;
  }
}

function setCurrent(index) {
  const before = current;
  cards[before].classList.remove("current");
  cards[before].removeAttribute("aria-current");
  current = index;
  setTabStops(before);
  setTabStops(index);
  cards[index].classList.add("current");
  cards[index].setAttribute("aria-current", "true");
}

function step(by) {
  const place = shown.indexOf(current);
  if (shown.length) goTo(shown[Math.min(Math.max(place + by, 0), shown.length - 1)]);
}

function decideCurrent(decision) {
  if (!shown.includes(current)) return;
  decide([{index: current, decision}]);
  if (decision) step(1);
}

function isShown(object, one) {
  const byDecision = get("by-decision").value, byFlag = get("by-flag").value;
  const from = get("from").valueAsNumber, to = get("to").valueAsNumber;
  if (byDecision && (one.decision || "undecided") !== byDecision) return false;
  if (byFlag === "-none" && object.flags.length) return false;
  if (byFlag === "-any" && !object.flags.length) return false;
  if (byFlag && byFlag[0] !== "-" && ![...object.flags, ...object.notes].includes(byFlag)) return false;
  if ((from === from || to === to) && object.size === null) return false;
  return !(object.size < from) && !(object.size > to);
}

function applyFilters() {
  const order = get("order").value, sign = order === "down" ? -1 : 1;
  const indexes = objects.map((_, index) => index);
  if (order !== "id") {
    const size = (index) => (objects[index].size === null ? sign * Infinity : objects[index].size);
    indexes.sort((a, b) => (size(a) === size(b) ? a - b : sign * (size(a) - size(b))));
  }
  shown = indexes.filter((index) => isShown(objects[index], state[index]));
  const chosen = new Set(shown);
  cards.forEach((card, index) => { card.hidden = !chosen.has(index); });
  get("list").append(...indexes.map((index) => cards[index]));
  get("none").hidden = shown.length > 0;
  if (shown.length && !chosen.has(current)) setCurrent(shown[0]);
  countAll();
}

function save() {
  const rows = objects.map((object, index) => ({id: object.id, p: object.p, ...state[index]}))
    .filter((row) => row.decision || row.comment);
  const blob = new Blob([formatDecisions([...rows, ...unmatched])], {type: "text/csv"});
  const link = makeElement("a", {href: URL.createObjectURL(blob), download: data.file_name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  saved = state.map((one) => ({...one}));
  store();
  countAll();
  report(`Saved as ${data.file_name} in your folder of downloads: move it into the folder of this page, or `
    + "name it with --decisions.");
}

function importText(text, name) {
  let found;
  try {
    found = parseDecisions(text);
  } catch (error) {
    return report(`${name}: ${error.message}`, true);
  }
  const indexes = matchDecisions(found, objects);
  const lost = found.filter((_, number) => indexes[number] < 0);
  const changes = found.map((one, number) => ({index: indexes[number], decision: one.decision, comment: one.comment}))
    .filter((one) => one.index >= 0 && differs(one, state[one.index]));
  if (changes.length) decide(changes);
  const isListed = (one) => unmatched.some((other) => other.id === one.id && String(other.p) === String(one.p));
  unmatched = [...unmatched, ...lost.filter((one) => !isListed(one))];
  report(`Imported ${name}. Decisions: ${found.length}; changed: ${changes.length}`
    + (lost.length ? `; without an object here, saved with the others: ${lost.length}` : ""));
}

function toggleOutlines() {
  const hidden = document.body.classList.toggle("no-outlines");
  get("outlines").setAttribute("aria-pressed", String(!hidden));
}

const ACTIONS = {
  j: () => step(1), ArrowRight: () => step(1), ArrowDown: () => step(1),
  k: () => step(-1), ArrowLeft: () => step(-1), ArrowUp: () => step(-1),
  Home: () => goTo(shown[0]), End: () => goTo(shown[shown.length - 1]),
  a: () => decideCurrent("accept"), r: () => decideCurrent("reject"), x: () => decideCurrent(""),
  u: undo, o: toggleOutlines, s: save, "?": () => get("keys").showModal(),
  c: () => { goTo(current); cards[current].querySelector(".comment").focus(); },
};

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || get("keys").open) return;
  if (target.matches("input, select, textarea")) {
    if (target.matches(".comment") && ["Enter", "Escape"].includes(event.key)) goTo(current);
    return;
  }
  const action = ACTIONS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || !objects.length) return;
  event.preventDefault();
  action();
});
get("list").addEventListener("focusin", (event) => {
  setCurrent(Number(event.target.closest(".card").dataset.index));
});
get("list").addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  if (card && !event.target.closest("button, input")) goTo(Number(card.dataset.index));
});
for (const name of ["by-decision", "by-flag", "from", "to", "order"]) {
  get(name).addEventListener("change", applyFilters);
}
get("outlines").addEventListener("click", toggleOutlines);
get("save").addEventListener("click", save);
get("help").addEventListener("click", () => get("keys").showModal());
get("import").addEventListener("click", () => get("file").click());
get("file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (file) importText(await file.text(), file.name);
  event.target.value = "";
});

function start() {
  const used = new Set(objects.flatMap((object) => [...object.flags, ...object.notes]));
  for (const name of Object.keys(data.words).filter((word) => used.has(word))) {
    get("by-flag").append(makeElement("option", {value: name}, name));
  }
  const stored = readStored();
  if (stored.isSame) {
    stored.changes.forEach(({index, decision, comment}) => { state[index] = {decision, comment}; });
    stored.saved.forEach(({index, decision, comment}) => { saved[index] = {decision, comment}; });
  }
  cards.forEach((card, index) => { draw(index); filler.observe(card); });
  applyFilters();
  if (objects.length) setCurrent(0);
  if (unmatched.length) {
    report(`Earlier decisions that match no object here: ${unmatched.length}. They are saved with the others.`);
  }
  if (stored.isSame || !stored.changes.length) return;
  get("banner").hidden = false;
  get("banner").querySelector("span").textContent =
    `Decisions of an earlier version of this page, stored by the browser, that differ: ${stored.changes.length}.`;
  get("use").addEventListener("click", () => { decide(stored.changes); get("banner").hidden = true; });
  get("discard").addEventListener("click", () => { store(); get("banner").hidden = true; });
}

new ResizeObserver(() => {
  document.documentElement.style.scrollPadding = `${document.querySelector("header").offsetHeight + 12}px 0 12px`;
}).observe(document.querySelector("header"));
start();
