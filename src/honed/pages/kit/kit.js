"use strict";
// Parts of every page: elements, JSON calls, keys, rows of numbers. Text goes in as text, never as markup.

const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === "style") Object.assign(element.style, value);
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

function tableRow(cell, values) { return make("tr", {}, ...values.map((value) => make(cell, {}, String(value)))); }

const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(0)} %`);

function fault(text) {
  $("fault").textContent = text;
  $("fault").hidden = !text;
}

// -- calls ----------------------------------------------------------------------------------------

// a page whose server may ask for a key sets what asks the user for it; one that keeps what people do, what is safe
const access = { unlock: null, safe: "" };

async function send(path, body, options = {}) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, { ...options, ...(body === undefined ? {} : post) });
  } catch (error) {
    throw error.name === "AbortError" ? error : Object.assign(new Error("The server does not answer."), { code: "OFFLINE" });
  }
  if (response.status === 401 && access.unlock) {
    await access.unlock();
    return send(path, body, options);
  }
  if (!response.ok) {
    const { error } = await response.json();
    throw Object.assign(new Error(error.message), { code: error.code, status: response.status });
  }
  return response;
}

async function call(path, body, options) { return (await send(path, body, options)).json(); }

async function ask(path, body) {  // what goes wrong is shown, and ends what asked
  try {
    const answer = await call(path, body);
    fault("");
    return answer;
  } catch (error) {
    fault(error.code === "OFFLINE" && access.safe ? `${error.message} ${access.safe}` : error.message);
    throw error;
  }
}

let busy = false;
async function alone(work) {  // one thing at a time: a key must not decide what is no longer seen
  if (busy) return;
  busy = true;
  try {
    await work();
  } finally {
    busy = false;
  }
}

// Asks the user for the key of the server until it is the right one; several calls that need it ask once.
let keyAsked = null;
function askKey() {
  keyAsked ??= new Promise((done) => {
    const wrong = make("p", { id: "key-state", class: "soft", role: "alert" });
    const key = make("input", { id: "key", type: "password", autocomplete: "current-password", required: "" });
    const form = make("form", { method: "dialog", id: "key-form" },
      make("label", { for: "key" }, "This server needs a key"), key, wrong, make("button", { type: "submit" }, "Open"));
    const dialog = make("dialog", { id: "key-dialog", on: { cancel: (event) => event.preventDefault() } }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const answer = await fetch("v1/session", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ key: key.value }),
      });
      if (!answer.ok) { wrong.textContent = "That is not the key."; return; }
      dialog.close(); dialog.remove(); keyAsked = null; done();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return keyAsked;
}

// -- keys -----------------------------------------------------------------------------------------

// Calls keys[event.key]; what it returns false for is left to the browser. Keys count while no field has the focus,
// unless a target of their own is given.
function onKeys(keys, target = document) {
  target.addEventListener("keydown", (event) => {
    const typing = target === document && /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (typing || event.repeat && target === document || event.ctrlKey || event.metaKey || event.altKey) return;
    const handler = keys[event.key];
    if (handler && handler(event) !== false) event.preventDefault();
  });
}
