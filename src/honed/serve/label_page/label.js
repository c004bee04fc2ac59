"use strict";
const at = id => document.getElementById(id);
const skipped = [], given = [];
let state = null, current = null, span = "", asked = 0, busy = false;

async function alone(work) {  // one thing at a time: a key must not label a record that is no longer seen
  if (busy) return;
  busy = true;
  try {
    await work();
  } finally {
    busy = false;
  }
}

function make(kind, text = "", more = {}) {
  const node = document.createElement(kind);
  node.textContent = text;
  for (const [name, value] of Object.entries(more)) node.setAttribute(name, value);
  return node;
}

async function call(path, body) {
  const how = body === undefined ? {} : {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body)};
  let answer;
  try {
    answer = await fetch(path, how);
  } catch {
    fault("The server does not answer. What was labelled is safe on disk.");
    throw new Error("offline");
  }
  const found = await answer.json();
  if (!answer.ok) {
    fault(found.error ? found.error.message : "something went wrong");
    throw new Error("refused");
  }
  fault("");
  return found;
}

function fault(text) {
  at("fault").textContent = text;
  at("fault").hidden = !text;
}

const percent = share => share === null || share === undefined ? "–" : (100 * share).toFixed(0) + " %";

// -- the record ------------------------------------------------------------------------------------

let turn = 0;
async function next() {
  const mine = ++turn;
  const found = await call("v1/records", {order: at("order").value, n: "1", skip: skipped.slice(-500)});
  if (mine === turn) show(found[0] || null);  // an older answer may come later
}

function show(record) {
  current = record;
  at("empty").hidden = record !== null;
  for (const field of ["title", "text"]) {
    const node = at("record-" + field);
    node.replaceChildren();
    if (record && record.fields[field]) marked(node, record.fields[field]);
  }
  at("guess").textContent = record ? (record.label ? `labelled ${record.label}; ` : "") + (record.likeliest ? `guess: ${record.likeliest}, ${percent(record.confidence)} sure` : "to measure with: judge it by itself") : "";
  at("votes").replaceChildren(...(record ? Object.entries(record.votes).map(([rule, said]) => make("li", `${rule}: ${said}`)) : []));
  for (const button of at("choose").children) button.setAttribute("aria-pressed", String(record !== null && button.dataset.label === record.label));
  at("selection").hidden = true;
  span = "";
}

function marked(node, field) {
  const characters = Array.from(field.text);
  let place = 0;
  for (const each of field.spans) {
    if (each.start < place) continue;
    node.append(characters.slice(place, each.start).join(""));
    node.append(make("mark", characters.slice(each.start, each.end).join(""), {title: each.label}));
    place = each.end;
  }
  node.append(characters.slice(place).join(""));
}

async function give(label) {
  if (!current) return;
  const id = current.id;
  const found = await call("v1/label", {id, label, why: at("why").value});
  given.push([id, found.before]);
  at("why").value = "";
  skipped.push(id);
  await next();
  refresh();
}

async function takeBack() {
  if (!given.length) return;
  const [id, before] = given.pop();
  turn++;
  show(await call("v1/label", {id, label: before}));
  const place = skipped.lastIndexOf(id);
  if (place >= 0) skipped.splice(place, 1);
  refresh();
}

async function skip() {
  if (!current) return;
  skipped.push(current.id);
  await next();
}

// -- the side --------------------------------------------------------------------------------------

async function refresh() {
  draw(await call("v1/state"));
}

function draw(found) {
  const first = state === null;
  state = found;
  if (first) buttons();
  const total = Object.values(state.hand).reduce((sum, n) => sum + n, 0);
  const right = state.accuracy ? `, ${percent(state.accuracy.mean)} right (${percent(state.accuracy.low)} to ${percent(state.accuracy.high)})` : "";
  at("summary").textContent = `${total} hand labels; ${state.labelled} of ${state.records} records labelled${right}`;
  at("learning").hidden = !state.learning;
  if (state.fault) fault(state.fault);
  const most = Math.max(1, ...Object.values(state.hand));
  at("hand").replaceChildren(...state.classes.map(name => {
    const line = make("li");
    line.append(make("span", name), make("progress", "", {value: state.hand[name], max: most, "aria-label": name}), make("span", String(state.hand[name])));
    return line;
  }));
  matrix();
  lists();
  rules();
  clearTimeout(asked);
  if (state.learning) asked = setTimeout(refresh, 700);
}

function buttons() {
  at("choose").replaceChildren(...state.classes.map((name, number) => {
    const button = make("button", "", {type: "button", "data-label": name, "aria-pressed": "false"});
    if (number < 9) button.append(make("kbd", String(number + 1)), " ");
    button.append(name);
    button.addEventListener("click", () => alone(() => give(name)));
    return button;
  }));
  at("span-classes").replaceChildren(...state.classes.map(name => {
    const button = make("button", name, {type: "button"});
    button.addEventListener("click", () => addTerm(name, span));
    return button;
  }));
  at("term-class").replaceChildren(...state.classes.map(name => make("option", name, {value: name})));
}

function matrix() {
  const table = at("matrix");
  table.replaceChildren();
  if (!state.matrix) return;
  const head = make("tr");
  head.append(make("th", "truth"), ...state.classes.map(name => make("th", name)));
  table.append(head, ...state.matrix.map((counts, row) => {
    const line = make("tr");
    line.append(make("td", state.classes[row]), ...state.classes.map((_, column) => make("td", String(counts[column]), row === column ? {class: "right"} : {})));
    return line;
  }));
}

function lists() {
  const open = new Set(Array.from(at("lists").querySelectorAll("details[open]")).map(each => each.dataset.name));
  at("lists").replaceChildren(...state.lists.map(list => {
    const rule = state.rules.find(each => each.rule === list.name);
    const box = make("details", "", {"data-name": list.name});
    box.open = list.own || open.has(list.name);
    box.append(make("summary", `${list.name} → ${list.label}: ${rule ? rule.records : 0} records` + (list.own ? "" : " (in its file)")));
    const terms = make("div", "", {class: "terms"});
    for (const [kind, words] of [["words", list.words], ["patterns", list.patterns]])
      for (const word of words) {
        const chip = make(list.own ? "button" : "span", kind === "patterns" ? `/${word}/` : word, list.own ? {type: "button", title: "remove"} : {});
        if (list.own) {
          chip.append(" ×");
          chip.addEventListener("click", () => changeTerm({label: list.label, term: word, pattern: kind === "patterns", remove: true}));
        }
        terms.append(chip);
      }
    box.append(terms);
    return box;
  }));
}

function rules() {
  const head = make("tr");
  head.append(...["rule", "records", "conflict", "right", "judged"].map(name => make("th", name)));
  at("rules").replaceChildren(head, ...state.rules.map(each => {
    const line = make("tr");
    line.append(...[each.rule, each.records, percent(each.conflict), percent(each.precision.mean), each.judged].map(value => make("td", String(value))));
    return line;
  }));
}

// -- terms -----------------------------------------------------------------------------------------

async function changeTerm(change) {
  draw(await call("v1/terms", change));
  if (current) await next();
}

async function addTerm(label, term, pattern = false) {
  if (!term) return;
  await changeTerm({label, term, pattern});
  window.getSelection().removeAllRanges();
  at("selection").hidden = true;
}

let previewing = 0;
function preview() {
  clearTimeout(previewing);
  const term = at("term").value.trim();
  if (!term) {
    at("preview").textContent = "";
    return;
  }
  previewing = setTimeout(async () => {
    const wish = new URLSearchParams({label: at("term-class").value, term, pattern: String(at("term-pattern").checked)});
    const found = await call("v1/terms/preview?" + wish);
    at("preview").textContent = `${found.records} records, ${found.new} of them new; ${found.right} of ${found.judged} hand labels agree` + (found.agree === null ? "" : `; the guess agrees in ${percent(found.agree)}`);
  }, 200);
}

async function suggest() {
  at("suggest").disabled = true;
  try {
    const found = await call("v1/suggestions");
    at("suggestions").replaceChildren(...found.map(each => {
      const line = make("li");
      const yes = make("button", "accept", {type: "button"}), no = make("button", "drop", {type: "button"});
      yes.addEventListener("click", async () => { await changeTerm({label: each.label, term: each.term}); line.remove(); });
      no.addEventListener("click", () => line.remove());
      line.append(make("span", `${each.term} → ${each.label} (${each.records} records, ${percent(each.precision)})`), yes, no);
      return line;
    }));
    if (!found.length) at("suggestions").replaceChildren(make("li", "nothing yet: label a few more records"));
  } finally {
    at("suggest").disabled = false;
  }
}

// -- keys and pointer ------------------------------------------------------------------------------

document.addEventListener("keydown", event => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
  const number = Number(event.key);
  if (event.key >= "1" && event.key <= "9" && state && number <= state.classes.length) alone(() => give(state.classes[number - 1]));
  else if (event.key === "0") alone(() => give(""));
  else if (event.key === "s") alone(skip);
  else if (event.key === "u") alone(takeBack);
  else return;
  event.preventDefault();
});

document.addEventListener("selectionchange", () => {
  const chosen = window.getSelection();
  const inside = chosen.rangeCount && at("record").contains(chosen.getRangeAt(0).commonAncestorContainer);
  const text = inside ? chosen.toString().trim().replace(/\s+/g, " ") : "";
  if (!text) return;
  span = text.slice(0, 200);
  at("span").textContent = span;
  at("selection").hidden = false;
});

at("order").addEventListener("change", () => { skipped.length = 0; next(); });
at("term").addEventListener("input", preview);
at("term-class").addEventListener("change", preview);
at("term-pattern").addEventListener("change", preview);
at("reload").addEventListener("click", async () => { draw(await call("v1/reload", {})); if (current) await next(); });
at("suggest").addEventListener("click", suggest);
at("term-form").addEventListener("submit", event => {
  event.preventDefault();
  addTerm(at("term-class").value, at("term").value.trim(), at("term-pattern").checked);
  at("term").value = "";
  preview();
});
refresh().then(next);
