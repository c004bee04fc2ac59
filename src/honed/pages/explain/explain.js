"use strict";
// The page of explanations: what every word adds to the likeness of two texts, for one model or for two.

const COLOURS = { attribution: "rgb(var(--plus))", attention: "rgb(var(--minus))", random: "var(--soft)" };

function makeSvg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const signed = (value) => (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(3);
const most = (values) => Math.max(1e-9, ...values.map(Math.abs));
const tint = (value, top) => `rgba(var(${value >= 0 ? "--plus" : "--minus"}), ${Math.min(0.6, 0.6 * Math.abs(value) / top).toFixed(3)})`;

function wordsOf(model, side, pick) {
  const { text, words, places, contributions } = model.texts[side];
  const top = most(model.texts.flatMap((text) => text.contributions));
  const line = make("p", { class: "words", "data-side": side });
  let at = 0;
  words.forEach((word, row) => {
    line.append(text.slice(at, places[row][0]));
    line.append(make("button", {
      class: "word", type: "button", "aria-pressed": "false", title: `${word}: ${signed(contributions[row])}`,
      style: { background: tint(contributions[row], top) }, on: { click: () => pick(side, row) },
    }, text.slice(...places[row])));
    at = places[row][1];
  });
  line.append(text.slice(at));
  return line;
}

function heat(rows, columns, values, paint, label) {
  const table = make("table", { class: "heat", "aria-label": label });
  table.append(make("thead", {}, make("tr", {}, make("td"), ...columns.map((column) => make("th", { scope: "col" }, column)))));
  const body = make("tbody");
  values.forEach((line, row) => {
    body.append(make("tr", {}, make("th", { scope: "row" }, rows[row]), ...line.map((value, column) =>
      make("td", { title: `${rows[row]} – ${columns[column]}: ${value.toFixed(3)}`, style: { background: paint(value) } }))));
  });
  table.append(body);
  return make("div", { class: "scroll" }, table);
}

function attentionOf(model) {
  const part = make("details", {}, make("summary", {}, "Attention by layer and head"));
  if (model.texts.every((text) => !text.attention)) {
    part.append(make("p", { class: "soft" }, "Left out: the texts are long."));
    return part;
  }
  const shown = model.texts.map((text, side) => ({ text, side })).filter(({ text }) => text.attention);
  const which = make("select", { "aria-label": "Text" }, ...shown.map(({ side }) => make("option", { value: side }, side ? "second text" : "first text")));
  const weights = shown[0].text.attention;
  const layer = make("select", { "aria-label": "Layer" }, ...weights.map((_, at) => make("option", { value: at }, `layer ${at + 1}`)));
  const head = make("select", { "aria-label": "Head" }, make("option", { value: "mean" }, "mean of heads"), ...weights[0].map((_, at) => make("option", { value: at }, `head ${at + 1}`)));
  layer.value = weights.length - 1;
  const place = make("div");
  const draw = () => {
    const { attention, pieces } = model.texts[which.value];
    const heads = attention[layer.value];
    const map = head.value === "mean"
      ? heads[0].map((line, row) => line.map((_, column) => heads.reduce((sum, weights) => sum + weights[row][column], 0) / heads.length))
      : heads[head.value];
    const top = most(map.flat());
    place.replaceChildren(heat(pieces, pieces, map, (value) => `rgba(var(--seen), ${(0.9 * value / top).toFixed(3)})`, "Attention, from row to column"));
  };
  for (const choice of [which, layer, head]) choice.addEventListener("change", draw);
  part.append(make("p", {}, which, " ", layer, " ", head), place);
  draw();
  return part;
}

function checkOf(model) {
  const part = make("details", {}, make("summary", {}, "Check: words taken away and put in"));
  model.texts.forEach(({ curves }, side) => {
    for (const way of ["deletion", "insertion"]) {
      const lines = Object.entries(curves).map(([name, ways]) => [name, ways[way]]);
      const all = lines.flatMap(([, line]) => line);
      const low = Math.min(...all), high = Math.max(...all), span = high - low || 1;
      const picture = makeSvg("svg", { viewBox: "0 0 360 150", role: "img", "aria-label": `${way} of the ${side ? "second" : "first"} text` });
      picture.append(makeSvg("text", { x: 34, y: 12 }, `${side ? "second" : "first"} text, ${way}: cosine by share of words`));
      picture.append(makeSvg("text", { x: 30, y: 30, "text-anchor": "end" }, high.toFixed(2)), makeSvg("text", { x: 30, y: 134, "text-anchor": "end" }, low.toFixed(2)));
      for (const [name, line] of lines) {
        const points = line.map((value, at) => `${(36 + 310 * at / (line.length - 1)).toFixed(1)},${(132 - 106 * (value - low) / span).toFixed(1)}`).join(" ");
        const path = makeSvg("polyline", { points, fill: "none", "stroke-width": 2 });
        path.style.stroke = COLOURS[name];
        picture.append(path);
      }
      part.append(picture);
    }
  });
  const key = make("p", { class: "key soft" });
  for (const [name, colour] of Object.entries(COLOURS)) key.append(make("span", { style: { background: colour } }), name === "random" ? "chance" : name === "attention" ? "raw attention" : "contributions");
  part.append(key);
  return part;
}

function card(model) {
  const article = make("article", { "data-model": model.name });
  const lines = [];
  const pick = (side, row) => {
    const plain = most(model.texts.flatMap((text) => text.contributions));
    lines.forEach((line, at) => line.querySelectorAll(".word").forEach((word, place) => {
      word.style.background = tint(model.texts[at].contributions[place], plain);
    }));
    const values = side === 0 ? model.pairs[row] : model.pairs.map((line) => line[row]);
    const top = most(values);
    const pressed = lines[side].querySelectorAll(".word")[row];
    const again = pressed.getAttribute("aria-pressed") === "true";
    for (const word of article.querySelectorAll(".word")) { word.setAttribute("aria-pressed", "false"); word.classList.remove("near"); }
    const partners = lines[1 - side].querySelectorAll(".word");
    if (again) return;
    partners.forEach((word, at) => { word.style.background = tint(values[at], top); });
    pressed.setAttribute("aria-pressed", "true");
    partners[values.indexOf(Math.max(...values))].classList.add("near");
  };
  lines.push(wordsOf(model, 0, pick), wordsOf(model, 1, pick));
  const [first, second] = model.texts.map((text) => text.words);
  const top = most(model.pairs.flat());
  article.append(
    make("h2", {}, model.name, ": cosine ", make("span", { class: "cosine" }, model.cosine.toFixed(3))),
    ...lines,
    make("p", { class: "soft" }, "Choose a word to see which words of the other text it meets."),
    make("h3", {}, "Word by word"),
    heat(first, second, model.pairs, (value) => tint(value, top), "What each pair of words adds to the cosine"),
    checkOf(model), attentionOf(model),
  );
  return article;
}

function shares(model, side) {
  const values = model.texts[side].contributions;
  const total = values.reduce((sum, value) => sum + Math.abs(value), 0) || 1;
  return values.map((value) => Math.abs(value) / total);
}

function show({ models }) {
  $("models").className = models.length > 1 ? "two" : "";
  $("models").replaceChildren(...models.map(card));
  $("changed").hidden = models.length < 2;
  if (models.length < 2) return;
  const rows = [];
  for (const side of [0, 1]) {
    const [before, after] = models.map((model) => shares(model, side));
    rows.push(make("h3", {}, side ? "Second text" : "First text"));
    const words = models[0].texts[side].words;
    words.forEach((word, row) => {
      const change = 100 * (after[row] - before[row]);
      rows.push(make("div", { class: "shift" }, make("span", {}, word),
        make("div", { class: "bars" },
          make("div", { style: { width: `${100 * before[row]}%`, background: "var(--soft)" } }),
          make("div", { style: { width: `${100 * after[row]}%`, background: "var(--ours)" } })),
        make("span", { class: "soft" }, `${(change >= 0 ? "+" : "−")}${Math.abs(change).toFixed(1)} points`)));
    });
  }
  $("shifts").replaceChildren(...rows);
}

async function answered(path, use) {
  fault("");
  $("state").textContent = "reading …";
  $("go").disabled = true;
  try {
    await use(await send(path, { first: $("first").value, second: $("second").value }));
  } catch (error) {
    fault(error.message);
  } finally {
    $("state").textContent = "";
    $("go").disabled = false;
  }
}

const explain = () => answered("v1/explain", async (answer) => {
  show(await answer.json());
  $("page").hidden = $("picture").hidden = false;
});

const save = (path, name) => answered(path, async (answer) => {
  const address = URL.createObjectURL(await answer.blob());
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
});

const stored = $("data");
if (stored) {
  show(JSON.parse(stored.textContent));
} else {
  $("ask").hidden = false;
  $("ask").addEventListener("submit", (event) => { event.preventDefault(); explain(); });
  $("page").addEventListener("click", () => save("v1/page", "why.html"));
  $("picture").addEventListener("click", () => save("v1/picture", "why.png"));
  $("swap").addEventListener("click", () => {
    [$("first").value, $("second").value] = [$("second").value, $("first").value];
    explain();
  });
}
