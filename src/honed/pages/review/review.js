"use strict";
// The review page: one row at a time with its candidates side by side, and how far the promise is.

access.unlock = askKey;
access.safe = "What was reviewed is safe on disk.";
const KEPT = "honed.who";
let who = "", row = null, state = null, refreshing = 0, asking = 0, searching = 0, turn = 0;

// -- the name --------------------------------------------------------------------------------------

function kept() {
  try { return localStorage.getItem(KEPT) || ""; } catch { return ""; }
}

function named(name) {
  who = name;
  try { localStorage.setItem(KEPT, name); } catch { /* asked again next time */ }
  $("who").textContent = name;
  alone(() => next());
}

function askName() {
  $("who-name").value = who;
  $("who-dialog").showModal();
}

// -- the row ---------------------------------------------------------------------------------------

async function next(entry = "") {
  show(await ask("v1/row", { who, entry }));
}

function show(answer) {
  clearTimeout(asking);
  row = answer.row;
  closeSearch();
  $("empty").hidden = row !== null;
  $("empty").textContent = answer.working ? "Looking for what is worth a review next …" : "Nothing is left to review for you now.";
  $("name").textContent = row ? row.name : "";
  if (row && row.count > 1) $("name").append(" ", make("span", { class: "soft" }, `× ${row.count}`));
  $("evidence").replaceChildren(...(row ? row.evidence : []).filter(({ value }) => value).map(({ column, value }) =>
    make("div", {}, make("dt", {}, column), make("dd", {}, value))));
  $("candidates").replaceChildren(...(row ? row.candidates : []).map((candidate, place) => make("li", {}, card(candidate, place + 1))));
  $("none").setAttribute("aria-pressed", String(row !== null && row.answer === ""));
  $("unsure").setAttribute("aria-pressed", String(row !== null && row.answer === "?"));
  for (const id of ["other", "none", "unsure"]) $(id).disabled = row === null;
  if (row === null) asking = setTimeout(() => alone(() => next()), answer.working ? 700 : 5000);
}

function card(candidate, number) {
  const aliases = candidate.aliases.flatMap((alias, place) => [place ? "; " : "", same(alias, row.name) ? make("b", {}, alias) : alias]);
  return make("button", { type: "button", class: "card", "aria-pressed": String(row.answer === candidate.id), on: { click: () => alone(() => decide(candidate.id)) } },
    make("span", { class: "title" }, number ? make("kbd", {}, String(number)) : null, ...spanned(candidate.name, candidate.spans)),
    candidate.row_spans.length ? make("span", { class: "lacks" }, "row: ", ...spanned(row.name, candidate.row_spans)) : null,
    ...candidate.fields.map(fieldLine),
    aliases.length ? make("span", { class: "known" }, "also: ", ...aliases) : null,
    make("span", { class: "id" }, candidate.id));
}

function fieldLine({ field, value, row: said, kind }) {
  if (!value && !said) return null;
  const sign = { same: "✓ ", part: "≈ ", other: "≠ " }[kind] || "";
  const words = { same: "agrees", part: "agrees in part", other: "differs" }[kind];
  const beside = kind === "other" || kind === "part" ? ` (row: ${said})` : "";
  return make("span", { class: `field ${kind}`, title: words }, `${sign}${field}: ${value || "–"}${beside}`);
}

const same = (one, other) => one.localeCompare(other, undefined, { sensitivity: "base" }) === 0;

function spanned(text, spans) {
  const characters = Array.from(text), parts = [];
  let end = 0;
  for (const [start, stop] of spans) {
    parts.push(characters.slice(end, start).join(""), make("mark", { class: "odd" }, characters.slice(start, stop).join("")));
    end = stop;
  }
  return [...parts, characters.slice(end).join("")];
}

async function decide(answer) {
  if (!row) return;
  show(await ask("v1/review", { who, entry: row.entry, answer }));
  refresh();
}

async function undo() {
  const answer = await ask("v1/undo", { who });
  if (answer.row) show(answer);
  refresh();
}

// -- another entity --------------------------------------------------------------------------------

function openSearch() {
  if (!row) return false;
  $("search").hidden = false;
  $("others").replaceChildren();
  $("query").value = row.name;
  $("query").focus();
  $("query").select();
  look();
}

function closeSearch() {
  clearTimeout(searching);
  turn++;
  if (!$("search").hidden) $("query").blur();
  $("search").hidden = true;
}

function look() {
  clearTimeout(searching);
  const mine = ++turn, text = $("query").value.trim(), entry = row.entry;
  if (!text) {
    $("others").replaceChildren();
    return;
  }
  searching = setTimeout(async () => {
    const found = await ask(`v1/entities?${new URLSearchParams({ text, entry })}`);
    if (mine === turn) $("others").replaceChildren(...found.map((candidate) => make("li", {}, card(candidate))));
  }, 200);
}

// -- how far the promise is ------------------------------------------------------------------------

async function refresh() {
  draw(await ask("v1/state"));
}

const whole = (count) => count.toLocaleString("en");

function draw(fresh) {
  state = fresh;
  const { accept, review, none, names, promise } = state;
  $("summary").textContent = `${state.table}: ${whole(names)} rows, ${whole(state.distinct)} distinct`;
  $("working").hidden = !state.working;
  if (state.fault) fault(state.fault);
  const shares = [["accept", accept, "accepted"], ["review", review, "to review"], ["none", none, "without a counterpart"]];
  for (const [part, count] of shares) $(`bar-${part}`).style.flexGrow = String(count);
  $("bar").setAttribute("aria-label", shares.map(([, count, words]) => `${count} ${words}`).join(", "));
  $("shares").replaceChildren(...shares.map(([part, count, words]) => make("span", {},
    make("i", { style: { background: getComputedStyle($(`bar-${part}`)).backgroundColor } }),
    `${whole(count)} ${words} (${percent(count / Math.max(1, names))})`)));
  $("source").textContent = { "this table": "proved", dev: "borrowed from dev", "known names": "known names alone", nothing: "no promise yet" }[promise.source];
  $("source").className = promise.source === "this table" ? "proved" : "";
  $("sentence").textContent = `${sentence(promise)}.`;
  $("sentence-none").textContent = state.promise_none && none ? `${sentence(state.promise_none)}.` : "";
  proof(promise);
  $("people").replaceChildren(...Object.entries(state.people).map(([name, count]) => make("li", {}, `${name}: ${whole(count)}`)));
  $("alpha").textContent = state.twice
    ? `${whole(state.twice)} rows seen by two people or more; Krippendorff's alpha ${state.alpha.toFixed(2)}`
    : "No row was seen by two people yet.";
  $("differ-section").hidden = state.differ.length === 0;
  $("differ").replaceChildren(...state.differ.map(({ entry, name, answers }) => make("li", {},
    make("button", { type: "button", on: { click: () => alone(() => next(entry)) } },
      `${name}: ${Object.entries(answers).map(([person, words]) => `${person}: ${words}`).join("; ")}`))));
  clearTimeout(refreshing);
  refreshing = setTimeout(refresh, state.working ? 700 : 10000);
}

const sentence = ({ sentence: words }) => words.charAt(0).toUpperCase() + words.slice(1);

function proof({ reviewed, needed }) {
  $("proof-bar").value = String(reviewed + needed ? state.reviewed / (state.reviewed + needed) : 1);
  $("proof-text").textContent = `${whole(state.reviewed)} rows reviewed` +
    (needed ? `; about ${whole(needed)} more random ones to ${state.promise.source === "this table" ? "accept more" : "prove it"}` : "") +
    `; ${whole(state.queue)} in the queue`;
}

// -- keys and buttons ------------------------------------------------------------------------------

const acceptByNumber = (event) => {
  const candidate = row?.candidates[Number(event.key) - 1];
  if (candidate === undefined) return false;
  alone(() => decide(candidate.id));
};
const actions = { o: openSearch, n: () => { alone(() => decide("")); }, u: () => { alone(() => decide("?")); }, z: () => { alone(undo); } };
onKeys({ ...Object.fromEntries(Array.from("12345", (digit) => [digit, acceptByNumber])), ...actions, Escape: closeSearch });
onKeys({
  Escape: closeSearch,
  Enter: () => { $("others").querySelector("button")?.focus(); },
  ArrowDown: () => { $("others").querySelector("button")?.focus(); },
}, $("query"));
for (const [id, key] of [["other", "o"], ["none", "n"], ["unsure", "u"], ["undo", "z"]]) $(id).addEventListener("click", () => actions[key]());

$("query").addEventListener("input", look);
$("who").addEventListener("click", askName);
$("who-dialog").addEventListener("cancel", (event) => { if (!who) event.preventDefault(); });
$("who-form").addEventListener("submit", (event) => {
  const name = $("who-name").value.trim();
  if (!name) event.preventDefault();
  else named(name);
});
$("update").addEventListener("click", async () => { draw(await ask("v1/update", {})); });
$("write").addEventListener("click", () => alone(async () => {
  $("written").textContent = "writing …";
  try {
    const { file, rows } = await ask("v1/write", {});
    $("written").textContent = `${whole(rows)} rows are in ${file}; it is written again when the server is stopped.`;
  } catch (error) {
    $("written").textContent = "not written";
    throw error;
  }
  refresh();
}));
refresh().then(() => { const name = kept(); if (name) named(name); else askName(); });
