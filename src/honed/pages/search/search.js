"use strict";
// The page of honed serve: search as you type, entity details, report, about.

const query = $("query"), list = $("hits"), state = $("state"), details = $("entity");
const HELP = state.textContent;
let bundle = null;
let hits = [], chosen = -1, lastSearch = 0, pending = null, timer = 0;

access.unlock = askKey;

async function info() { return bundle ??= await call("v1/bundle"); }

// -- what is searched, as an address ---------------------------------------------------------------

// ?query=UNAM&target=aliases&where=country=MX&where=founded>=1900: a condition has a field, a sign and a value; several
// values of one field are a set.
const CONDITION = /^([^<>=]+)(>=|<=|=|>|<)([^]+)$/;
const BOUNDS = { ">=": "gte", ">": "gt", "<=": "lte", "<": "lt" };
let conditions = [];

const direction = () => document.querySelector("input[name=direction]:checked").value;
const forward = () => direction() === "alias-to-label";
const shownCondition = ({ field, sign, value }) => `${field}${sign}${value}`;
const isSet = (condition) => conditions.some((other) => shownCondition(other) === shownCondition(condition));

function filterOf() {
  const filter = {};
  for (const { field, sign, value } of conditions) {
    if (sign === "=") (Array.isArray(filter[field]) ? filter[field] : filter[field] = []).push(value);
    else filter[field] = { ...filter[field], [BOUNDS[sign]]: value.trim() && isFinite(value) ? Number(value) : value };
  }
  return filter;
}

function address() {
  const parameters = new URLSearchParams();
  if (query.value) parameters.set("query", query.value);
  if (!forward()) parameters.set("target", "aliases");
  conditions.forEach((condition) => parameters.append("where", shownCondition(condition)));
  const shown = parameters.toString();
  return `${location.pathname}${shown && `?${shown}`}`;
}

function readAddress() {
  const parameters = new URLSearchParams(location.search);
  const older = new URLSearchParams(location.hash.split("?")[1] ?? ""); // #/?q=UNAM&to=aliases, of earlier pages
  query.value = parameters.get("query") ?? older.get("q") ?? "";
  const aliases = parameters.get("target") === "aliases" || older.get("to") === "aliases";
  document.querySelector(`input[value=${aliases ? "label-to-alias" : "alias-to-label"}]`).checked = true;
  conditions = parameters.getAll("where").map((text) => CONDITION.exec(text)).filter(Boolean)
    .map(([, field, sign, value]) => ({ field: field.trim(), sign, value }));
}

// Typing changes the address in place; a step (an example, a filter) can be gone back from.
function searchFor(text, { step = true } = {}) {
  query.value = text;
  clearTimeout(timer);
  if (step && `${location.pathname}${location.search}` !== address()) history.pushState(null, "", address());
  search();
}

// -- search ---------------------------------------------------------------------------------------

async function search() {
  const text = query.value;
  const number = ++lastSearch;
  pending?.abort();
  pending = new AbortController();
  if (!location.hash.startsWith("#/report") && !location.hash.startsWith("#/about")) history.replaceState(null, "", address());
  showConditions();
  $("examples").hidden = text.trim() !== "" || !$("examples").dataset.filled;
  if (!text.trim()) { show({ hits: [] }); state.textContent = HELP; return; }
  try {
    const { parts } = await info();
    const filter = filterOf();
    const started = performance.now();
    const answer = await call("v1/search", {
      query: text, k: 10, direction: direction(), filter, ubi: { application: "honed-page" }, explain: parts.hybrid && forward(),
      candidates: parts.coverage !== null && forward() && !conditions.length,
    }, { signal: pending.signal });
    if (number !== lastSearch) return;
    show(answer);
    const time = `${Math.max(1, Math.round(performance.now() - started))} ms`;
    const cut = answer.truncated ? " The query is longer than the model reads; its end was not seen." : "";
    state.textContent = answer.hits.length ? `${answer.hits.length} results in ${time}.${cut}` : `Nothing found (${time}).`;
  } catch (error) {
    if (error.name === "AbortError" || number !== lastSearch) return;
    show({ hits: [] });
    state.textContent = error.code === "E_BUSY" ? "The server is busy; trying again." : error.message;
    if (error.code === "E_BUSY") timer = setTimeout(search, 1000);
  }
}

function show(answer) {
  hits = answer.hits; chosen = -1;
  watch(answer);
  details.hidden = true;
  query.setAttribute("aria-expanded", String(hits.length > 0));
  query.removeAttribute("aria-activedescendant");
  list.replaceChildren(...hits.map((hit, number) => make("li", {
    id: `hit-${number}`, role: "option", "aria-selected": "false", on: { click: () => open(number) },
  },
    make("div", { class: "line" },
      make("span", { class: "name" }, hit.text),
      hit.chance === undefined ? null : make("span", { class: "chance", title: "estimated chance that this is right" }, percent(hit.chance)),
      make("span", { class: "score", title: `the number by which hits are ranked; cosine ${hit.cosine.toFixed(3)}` }, score(hit))),
    make("progress", { class: "bar", max: "1", value: Math.max(0, hit.score).toFixed(4), "aria-label": `score ${score(hit)}` }),
    describe(hit), reasons(hit))));
  showVerdict(answer);
}

const score = (hit) => (hit.score > 0 && hit.score < 0.0005 ? "<0.001" : hit.score.toFixed(3));

function showVerdict(answer) {
  const verdict = $("verdict"), set = $("candidates");
  verdict.hidden = answer.chance === undefined || !hits.length;
  if (!verdict.hidden) {
    verdict.className = answer.match ? "match" : "no-match";
    const chance = `the first is right with a chance of ${percent(answer.chance)}`;
    const told = answer.match ? `Match: ${chance}.` : `No match: ${chance}, too little for the risk that is taken.`;
    verdict.textContent = bundle.parts.promise ? `${told} (${bundle.parts.promise})` : told;
  }
  set.hidden = !answer.candidates?.length;
  if (set.hidden) return;
  const shown = answer.candidates.slice(0, 20), more = answer.candidates.length - shown.length;
  const rate = percent(bundle.parts.coverage);
  set.replaceChildren(
    make("summary", {}, `${answer.candidates.length} ${answer.candidates.length === 1 ? "candidate" : "candidates"}: the right one is among them in ${rate} of queries`),
    make("ul", { class: "aliases" }, ...shown.map(({ doc_id: id, text }) => make("li", {},
      make("button", { type: "button", on: { click: () => openEntity(id) } }, text)))),
    more ? make("p", { class: "soft" }, `and ${more.toLocaleString()} more`) : null);
}

function describe(hit) {
  const line = make("div", { class: "about" });
  if (hit.matched !== hit.text) line.append("matched ", make("mark", {}, hit.matched), " ");
  const more = hit.fields.label ?? hit.fields.description ?? "";
  if (more) line.append(hit.matched !== hit.text ? `· ${more}` : more);
  return line;
}

// What the parts of the hybrid added, in log-odds; those that decide, and a known name before all of them.
function reasons(hit) {
  if (!hit.reasons) return null;
  const parts = Object.entries(hit.reasons).filter(([, added]) => Math.abs(added) >= 0.05).slice(0, 4)
    .map(([part, added]) => make("span", { class: added > 0 ? "part" : "part against" }, `${part} ${added > 0 ? "+" : "−"}${Math.abs(added).toFixed(1)}`));
  const known = hit.score === 1 ? [make("span", { class: "part" }, "known name")] : [];
  return make("div", { class: "parts", title: "what each part added to the score, in log-odds" }, ...known, ...parts);
}

// -- what is kept, where the server keeps a log -----------------------------------------------------

const SHOWN_AFTER = 1000; // ms that results stand before they count as shown: not those between two keys
let queryId = null, shownTimer = 0, isShown = false;

function watch(answer) {
  clearTimeout(shownTimer);
  queryId = answer.query_id ?? null; isShown = false;
  if (!queryId) return;
  $("kept").hidden = false;
  shownTimer = setTimeout(tellShown, SHOWN_AFTER);
}

function tellShown() {
  clearTimeout(shownTimer);
  if (!isShown) tell("impression", [...hits.keys()]);
  isShown = true;
}

function tell(action, numbers) {
  if (!queryId || !numbers.length) return;
  const events = numbers.map((number) => ({
    action_name: action, query_id: queryId, application: "honed-page", timestamp: new Date().toISOString(),
    event_attributes: { object: { object_id: hits[number].doc_id, object_id_field: "doc_id" }, position: { ordinal: number + 1 } },
  }));
  const body = JSON.stringify(events);
  fetch("ubi/events", { method: "POST", headers: { "Content-Type": "application/json" }, body, keepalive: true }).catch(() => {});
}

// -- filters and examples ---------------------------------------------------------------------------

async function overview() {
  const { facets, examples } = await call("v1/overview");
  $("examples").replaceChildren("Try ", ...examples.map((text) =>
    make("button", { type: "button", on: { click: () => { searchFor(text); query.focus(); } } }, text)));
  if (examples.length) $("examples").dataset.filled = "yes";
  $("examples").hidden = !examples.length || query.value.trim() !== "";
  $("fields").replaceChildren(...facets.map(({ field, values, n_values: n }) => make("fieldset", {},
    make("legend", {}, field),
    ...values.map(({ value, count }) => make("label", {}, facetBox(field, String(value)), ` ${value} `, make("span", { class: "soft" }, count.toLocaleString()))),
    n > values.length ? make("span", { class: "soft" }, `and ${(n - values.length).toLocaleString()} more`) : null)));
  $("filters").dataset.filled = facets.length ? "yes" : "";
  showConditions();
}

function facetBox(field, value) {
  const condition = { field, sign: "=", value };
  const box = make("input", { type: "checkbox", "data-condition": shownCondition(condition), on: { change: () => toggle(condition) } });
  box.checked = isSet(condition);
  return box;
}

function toggle(condition) {
  conditions = isSet(condition)
    ? conditions.filter((other) => shownCondition(other) !== shownCondition(condition)) : [...conditions, condition];
  searchFor(query.value);
}

function showConditions() {
  document.querySelectorAll("[data-condition]").forEach((box) => {
    box.checked = conditions.some((condition) => shownCondition(condition) === box.dataset.condition);
  });
  $("filters").hidden = !$("filters").dataset.filled;
  $("filters").querySelector("summary").textContent = conditions.length ? `Filters (${conditions.length})` : "Filters";
  $("conditions").hidden = !conditions.length;
  $("conditions").replaceChildren(...conditions.map((condition) => make("li", {}, make("button", {
    type: "button", title: "remove this filter", on: { click: () => toggle(condition) } }, `${shownCondition(condition)} ×`))));
}

// -- hits and details -------------------------------------------------------------------------------

function choose(number) {
  if (!hits.length) return;
  chosen = (number + hits.length) % hits.length;
  [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === chosen)));
  list.children[chosen].scrollIntoView({ block: "nearest" });
  query.setAttribute("aria-activedescendant", `hit-${chosen}`);
}

function open(number) {
  choose(number);
  tellShown();
  tell("click", [number]);
  return openEntity(hits[number].doc_id);
}

async function openEntity(id) {
  const search = lastSearch;
  try {
    const entity = await call(`v1/entities/${encodeURIComponent(id)}`);
    if (search !== lastSearch) return;
    const fields = Object.entries(entity.fields).filter(([, value]) => value);
    details.replaceChildren(
      make("h2", {}, entity.label),
      make("dl", {}, make("dt", {}, "id"), make("dd", {}, entity.id),
        ...fields.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, link(value))])),
      make("strong", {}, entity.aliases.length ? `${entity.aliases.length} aliases` : "no aliases"),
      make("ul", { class: "aliases" }, ...entity.aliases.map((alias) => make("li", {},
        make("button", { type: "button", on: { click: () => { searchFor(alias); query.focus(); } } }, alias)))),
      make("button", { type: "button", on: { click: close } }, "Close"));
    details.hidden = false;
    details.focus({ preventScroll: innerWidth >= 832 });
  } catch (error) { state.textContent = error.message; }
}

function link(value) {
  if (!/^https?:\/\/\S+$/i.test(value)) return value;
  return make("a", { href: value, rel: "noopener noreferrer", target: "_blank" }, value);
}

function close() { details.hidden = true; query.focus(); }

query.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 80); });
$("form").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); if (chosen >= 0) open(chosen); else searchFor(query.value); });
document.querySelectorAll("input[name=direction]").forEach((choice) => choice.addEventListener("change", () => searchFor(query.value)));
const closeIfOpen = () => { if (details.hidden) return false; close(); };
onKeys({
  "/": () => { location.hash = "#/"; query.focus(); query.select(); },
  Escape: closeIfOpen,
});
onKeys({
  ArrowDown: () => choose(chosen + 1),
  ArrowUp: () => choose(chosen < 0 ? hits.length - 1 : chosen - 1),
  Escape: closeIfOpen,
}, query);

// -- report and about -----------------------------------------------------------------------------

async function about() {
  await info();
  $("title").textContent = bundle.title ?? "";
  const counts = bundle.counts, parity = bundle.parity ?? {};
  const facts = {
    "trained from": bundle.base_model, entities: counts.entities.toLocaleString(), names: counts.names.toLocaleString(),
    precision: bundle.precision, engine: bundle.engine, "vectors of": `${bundle.spec.dim} dimensions, ${bundle.spec.pooling} pooling`,
    index: bundle.index.backend,
    "same top-1 as the trained model": parity.n_queries ? `${(100 - 100 * parity.top1_flips).toFixed(2)} % of ${parity.n_queries} queries` : "not measured",
    licences: Object.entries(bundle.licences ?? {}).map(([what, licence]) => `${what}: ${licence}`).join("; "),
    "made with": Object.entries(bundle.versions ?? {}).filter(([, version]) => version).map((part) => part.join(" ")).join(", "),
    fingerprint: bundle.self,
  };
  $("facts").replaceChildren(...Object.entries(facts).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value ?? ""))]));
  const systems = Object.entries(bundle.measures?.systems ?? {});
  const names = systems.length ? Object.keys(systems[0][1]) : [];
  $("measures").replaceChildren(tableRow("th", ["system", ...names]), ...systems.map(([system, measures]) =>
    tableRow("td", [system, ...names.map((name) => (100 * measures[name].mean).toFixed(1))])));
  $("protocol").textContent = bundle.measures
    ? `In percent over ${bundle.measures.n_queries} queries, protocol ${bundle.measures.protocol}; the report has the intervals.` : "Nothing was measured.";
  $("files").replaceChildren(tableRow("th", ["file", "MB"]), ...Object.entries(bundle.files).map(([name, size]) => tableRow("td", [name, (size / 1e6).toFixed(2)])));
  $("manifest").textContent = JSON.stringify(bundle, null, 1);
}

async function report() {
  await about();
  const there = "report.html" in bundle.files;
  $("no-report").hidden = there;
  $("report-frame").hidden = !there;
  if (there && !$("report-frame").src) $("report-frame").src = "report";
}

function route() {
  const [page] = location.hash.replace(/^#\/?/, "").split("?");
  const name = ["report", "about"].includes(page) ? page : "search";
  document.querySelectorAll("[data-view]").forEach((view) => { view.hidden = view.id !== name; });
  document.querySelectorAll("nav a").forEach((anchor) => {
    if (anchor.dataset.page === name) anchor.setAttribute("aria-current", "page"); else anchor.removeAttribute("aria-current");
  });
  const failed = (error) => { $("title").textContent = error.message; };
  if (name === "report") report().catch(failed);
  else if (name === "about") about().catch(failed);
  else { about().catch(failed); query.focus(); }
}

function start() {
  readAddress();
  route();
  overview().catch(() => {}); // without it there are no filters and no examples
  if (query.value || conditions.length) search(); else showConditions();
}

addEventListener("hashchange", route);
addEventListener("popstate", () => {
  const before = address();
  readAddress();
  if (before !== address()) search();
});
start();
