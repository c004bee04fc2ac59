"use strict";
// The label page: one record at a time with its labels, and the lists, rules and counts that they change.

access.safe = "What was labelled is safe on disk.";
const skipped = [], given = [];
let state = null, current = null, span = "", refreshing = 0;

// -- the record -----------------------------------------------------------------------------------

let turn = 0;
async function next() {
  const mine = ++turn;
  const records = await ask("v1/records", { order: $("order").value, n: 1, skip: skipped.slice(-500) });
  if (mine === turn) show(records[0] || null);  // an older answer may come later
}

function show(record) {
  current = record;
  $("empty").hidden = record !== null;
  for (const field of ["title", "text"]) {
    const place = $(`record-${field}`);
    place.replaceChildren();
    if (record && record.fields[field]) marked(place, record.fields[field]);
  }
  $("guess").textContent = record ? guess(record) : "";
  $("votes").replaceChildren(...(record ? Object.entries(record.votes).map(([rule, label]) => make("li", {}, `${rule}: ${label}`)) : []));
  for (const button of $("choose").children) button.setAttribute("aria-pressed", String(record !== null && button.dataset.label === record.label));
  $("selection").hidden = true;
  span = "";
}

function guess(record) {
  const label = record.label ? `labelled ${record.label}; ` : "";
  return label + (record.likeliest ? `guess: ${record.likeliest}, ${percent(record.confidence)} sure` : "to measure with: judge it by itself");
}

function marked(place, field) {
  const characters = Array.from(field.text);
  let end = 0;
  for (const term of field.spans) {
    if (term.start < end) continue;
    place.append(characters.slice(end, term.start).join(""));
    place.append(make("mark", { title: term.label }, characters.slice(term.start, term.end).join("")));
    end = term.end;
  }
  place.append(characters.slice(end).join(""));
}

async function give(label) {
  if (!current) return;
  const id = current.id;
  const record = await ask("v1/label", { id, label, why: $("why").value });
  given.push([id, record.before]);
  $("why").value = "";
  skipped.push(id);
  await next();
  refresh();
}

async function takeBack() {
  if (!given.length) return;
  const [id, before] = given.pop();
  turn++;
  show(await ask("v1/label", { id, label: before }));
  const place = skipped.lastIndexOf(id);
  if (place >= 0) skipped.splice(place, 1);
  refresh();
}

async function skip() {
  if (!current) return;
  skipped.push(current.id);
  await next();
}

// -- the side -------------------------------------------------------------------------------------

async function refresh() {
  draw(await ask("v1/state"));
}

function draw(fresh) {
  const first = state === null;
  state = fresh;
  if (first) buttons();
  const total = Object.values(state.hand).reduce((sum, n) => sum + n, 0);
  const right = state.accuracy ? `, ${percent(state.accuracy.mean)} right (${percent(state.accuracy.low)} to ${percent(state.accuracy.high)})` : "";
  $("summary").textContent = `${total} hand labels; ${state.labelled} of ${state.records} records labelled${right}`;
  $("learning").hidden = !state.learning;
  if (state.fault) fault(state.fault);
  const most = Math.max(1, ...Object.values(state.hand));
  $("hand").replaceChildren(...state.classes.map((name) => make("li", {},
    make("span", {}, name),
    make("progress", { value: state.hand[name], max: most, "aria-label": name }),
    make("span", {}, String(state.hand[name])))));
  matrix();
  lists();
  rules();
  clearTimeout(refreshing);
  if (state.learning) refreshing = setTimeout(refresh, 700);
}

function buttons() {
  $("choose").replaceChildren(...state.classes.map((name, number) => make("button",
    { type: "button", "data-label": name, "aria-pressed": "false", on: { click: () => alone(() => give(name)) } },
    ...(number < 9 ? [make("kbd", {}, String(number + 1)), " "] : []), name)));
  $("span-classes").replaceChildren(...state.classes.map((name) => make("button", { type: "button", on: { click: () => addTerm(name, span) } }, name)));
  $("term-class").replaceChildren(...state.classes.map((name) => make("option", { value: name }, name)));
}

function matrix() {
  if (!state.matrix) {
    $("matrix").replaceChildren();
    return;
  }
  $("matrix").replaceChildren(tableRow("th", ["truth", ...state.classes]), ...state.matrix.map((counts, row) => {
    const line = tableRow("td", [state.classes[row], ...state.classes.map((_, column) => counts[column])]);
    line.children[row + 1].className = "right";
    return line;
  }));
}

function lists() {
  const open = new Set(Array.from($("lists").querySelectorAll("details[open]")).map((box) => box.dataset.name));
  $("lists").replaceChildren(...state.lists.map((list) => {
    const rule = state.rules.find((candidate) => candidate.rule === list.name);
    const box = make("details", { "data-name": list.name },
      make("summary", {}, `${list.name} → ${list.label}: ${rule ? rule.records : 0} records` + (list.own ? "" : " (in its file)")),
      make("div", { class: "terms" },
        ...list.words.map((word) => chip(list, word, false)), ...list.patterns.map((pattern) => chip(list, pattern, true))));
    box.open = list.own || open.has(list.name);
    return box;
  }));
}

function chip(list, term, pattern) {
  const text = pattern ? `/${term}/` : term;
  if (!list.own) return make("span", {}, text);
  const remove = () => changeTerm({ label: list.label, term, pattern, remove: true });
  return make("button", { type: "button", title: "remove", on: { click: remove } }, text, " ×");
}

function rules() {
  $("rules").replaceChildren(tableRow("th", ["rule", "records", "conflict", "right", "judged"]), ...state.rules.map((rule) =>
    tableRow("td", [rule.rule, rule.records, percent(rule.conflict), percent(rule.precision.mean), rule.judged])));
}

// -- terms ----------------------------------------------------------------------------------------

async function changeTerm(change) {
  draw(await ask("v1/terms", change));
  if (current) await next();
}

async function addTerm(label, term, pattern = false) {
  if (!term) return;
  await changeTerm({ label, term, pattern });
  window.getSelection().removeAllRanges();
  $("selection").hidden = true;
}

let previewing = 0;
function preview() {
  clearTimeout(previewing);
  const term = $("term").value.trim();
  if (!term) {
    $("preview").textContent = "";
    return;
  }
  previewing = setTimeout(async () => {
    const wish = new URLSearchParams({ label: $("term-class").value, term, pattern: String($("term-pattern").checked) });
    const effect = await ask(`v1/terms/preview?${wish}`);
    $("preview").textContent = `${effect.records} records, ${effect.new} of them new; ${effect.right} of ${effect.judged} hand labels agree` + (effect.agree === null ? "" : `; the guess agrees in ${percent(effect.agree)}`);
  }, 200);
}

async function suggest() {
  $("suggest").disabled = true;
  try {
    const suggestions = await ask("v1/suggestions");
    $("suggestions").replaceChildren(...suggestions.map(suggestionLine));
    if (!suggestions.length) $("suggestions").replaceChildren(make("li", {}, "nothing yet: label a few more records"));
  } finally {
    $("suggest").disabled = false;
  }
}

function suggestionLine({ term, label, records, precision }) {
  const accept = async () => { await changeTerm({ label, term }); line.remove(); };
  const line = make("li", {},
    make("span", {}, `${term} → ${label} (${records} records, ${percent(precision)})`),
    make("button", { type: "button", on: { click: accept } }, "accept"),
    make("button", { type: "button", on: { click: () => line.remove() } }, "drop"));
  return line;
}

// -- keys and pointer -----------------------------------------------------------------------------

const giveByNumber = (event) => {
  const name = state?.classes[Number(event.key) - 1];
  if (name === undefined) return false;
  alone(() => give(name));
};
onKeys({
  ...Object.fromEntries(Array.from("123456789", (digit) => [digit, giveByNumber])),
  0: () => { alone(() => give("")); },
  s: () => { alone(skip); },
  u: () => { alone(takeBack); },
});

document.addEventListener("selectionchange", () => {
  const chosen = window.getSelection();
  const inside = chosen.rangeCount && $("record").contains(chosen.getRangeAt(0).commonAncestorContainer);
  const text = inside ? chosen.toString().trim().replace(/\s+/g, " ") : "";
  if (!text) return;
  span = text.slice(0, 200);
  $("span").textContent = span;
  $("selection").hidden = false;
});

$("order").addEventListener("change", () => { skipped.length = 0; next(); });
$("term").addEventListener("input", preview);
$("term-class").addEventListener("change", preview);
$("term-pattern").addEventListener("change", preview);
$("reload").addEventListener("click", async () => { draw(await ask("v1/reload", {})); if (current) await next(); });
$("suggest").addEventListener("click", suggest);
$("term-form").addEventListener("submit", (event) => {
  event.preventDefault();
  addTerm($("term-class").value, $("term").value.trim(), $("term-pattern").checked);
  $("term").value = "";
  preview();
});
refresh().then(next);
