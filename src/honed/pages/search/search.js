"use strict";
// The page of honed serve: search as you type, entity details, report, about.

const query = $("query"), list = $("hits"), state = $("state"), details = $("entity");
const HELP = state.textContent;
let hits = [], chosen = -1, lastSearch = 0, pending = null, timer = 0;

let keyAsked = null;
access.unlock = () => {
  const dialog = $("key-dialog");
  keyAsked ??= new Promise((done) => {
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    $("key-form").onsubmit = async (event) => {
      event.preventDefault();
      const answer = await fetch("v1/session", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key: $("key").value }),
      });
      if (!answer.ok) { $("key-state").textContent = "That is not the key."; return; }
      dialog.close(); keyAsked = null; done();
    };
    dialog.showModal();
  });
  return keyAsked;
};

// -- search ---------------------------------------------------------------------------------------

const direction = () => document.querySelector("input[name=direction]:checked").value;

async function search() {
  const text = query.value;
  const number = ++lastSearch;
  pending?.abort();
  pending = new AbortController();
  if (!text.trim()) { show([]); state.textContent = HELP; return; }
  remember(text);
  const started = performance.now();
  try {
    const answer = await call("v1/search", { query: text, k: 10, direction: direction() }, { signal: pending.signal });
    if (number !== lastSearch) return;
    show(answer.hits);
    const time = `${Math.max(1, Math.round(performance.now() - started))} ms`;
    const cut = answer.truncated ? " The query is longer than the model reads; its end was not seen." : "";
    state.textContent = answer.hits.length ? `${answer.hits.length} results in ${time}.${verdict(answer)}${cut}` : `Nothing found (${time}).`;
  } catch (error) {
    if (error.name === "AbortError" || number !== lastSearch) return;
    show([]);
    state.textContent = error.code === "E_BUSY" ? "The server is busy; trying again." : error.message;
    if (error.code === "E_BUSY") timer = setTimeout(search, 1000);
  }
}

function verdict(answer) {
  if (answer.chance === undefined) return "";
  const chance = ` The first is right with a chance of ${percent(answer.chance)}`;
  return answer.match ? `${chance}.` : `${chance}: probably no match.`;
}

function remember(text) {
  const parameters = new URLSearchParams({ q: text, ...(direction() === "alias-to-label" ? {} : { to: "aliases" }) });
  history.replaceState(null, "", `#/?${parameters}`);
}

function show(answered) {
  hits = answered; chosen = -1;
  details.hidden = true;
  query.setAttribute("aria-expanded", String(hits.length > 0));
  query.removeAttribute("aria-activedescendant");
  list.replaceChildren(...hits.map((hit, number) => make("li", {
    id: `hit-${number}`, role: "option", "aria-selected": "false", on: { click: () => open(number) },
  },
    make("div", { class: "line" },
      make("span", { class: "name" }, hit.text), make("span", { class: "score" }, hit.score.toFixed(3))),
    make("progress", { class: "bar", max: "1", value: Math.max(0, hit.score).toFixed(4), "aria-label": `score ${hit.score.toFixed(3)}` }),
    describe(hit))));
}

function describe(hit) {
  const line = make("div", { class: "about" });
  if (hit.matched !== hit.text) line.append("matched ", make("mark", {}, hit.matched), " ");
  const more = hit.fields.label ?? hit.fields.description ?? "";
  if (more) line.append(hit.matched !== hit.text ? `· ${more}` : more);
  return line;
}

function choose(number) {
  if (!hits.length) return;
  chosen = (number + hits.length) % hits.length;
  [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === chosen)));
  list.children[chosen].scrollIntoView({ block: "nearest" });
  query.setAttribute("aria-activedescendant", `hit-${chosen}`);
}

async function open(number) {
  choose(number);
  const hit = hits[number];
  try {
    const entity = await call(`v1/entities/${encodeURIComponent(hit.doc_id)}`);
    if (hits[number] !== hit) return;
    const fields = Object.entries(entity.fields).filter(([, value]) => value);
    details.replaceChildren(
      make("h2", {}, entity.label),
      make("dl", {}, make("dt", {}, "id"), make("dd", {}, entity.id),
        ...fields.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, link(value))])),
      make("strong", {}, entity.aliases.length ? `${entity.aliases.length} aliases` : "no aliases"),
      make("ul", { class: "aliases" }, ...entity.aliases.map((alias) => make("li", {},
        make("button", { type: "button", on: { click: () => { query.value = alias; query.focus(); search(); } } }, alias)))),
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
$("form").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); if (chosen >= 0) open(chosen); else search(); });
document.querySelectorAll("input[name=direction]").forEach((choice) => choice.addEventListener("change", search));
const closeIfOpen = () => { if (details.hidden) return false; close(); };
onKeys({
  "/": () => { location.hash = location.hash.startsWith("#/?") ? location.hash : "#/"; query.focus(); query.select(); },
  Escape: closeIfOpen,
});
onKeys({
  ArrowDown: () => choose(chosen + 1),
  ArrowUp: () => choose(chosen < 0 ? hits.length - 1 : chosen - 1),
  Escape: closeIfOpen,
}, query);

// -- report and about -----------------------------------------------------------------------------

let bundle = null;
async function about() {
  bundle ??= await call("v1/bundle");
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
  const [page, parameters] = location.hash.replace(/^#\/?/, "").split("?");
  const name = ["report", "about"].includes(page) ? page : "search";
  document.querySelectorAll("[data-view]").forEach((view) => { view.hidden = view.id !== name; });
  document.querySelectorAll("nav a").forEach((anchor) => {
    if (anchor.dataset.page === name) anchor.setAttribute("aria-current", "page"); else anchor.removeAttribute("aria-current");
  });
  const failed = (error) => { $("title").textContent = error.message; };
  if (name === "report") report().catch(failed);
  else if (name === "about") about().catch(failed);
  else {
    about().catch(failed);
    const linked = new URLSearchParams(parameters ?? "");
    if (linked.has("q") && linked.get("q") !== query.value) {
      query.value = linked.get("q");
      document.querySelector(`input[value=${linked.get("to") === "aliases" ? "label-to-alias" : "alias-to-label"}]`).checked = true;
      search();
    }
    query.focus();
  }
}

addEventListener("hashchange", route);
route();
