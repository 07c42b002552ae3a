// The page that shows what the URL of a picture gives. /openapi.json has the parameters and what header fields mean.

import { pictureUrl } from "../client.js";
import { authorization, offerAccess } from "./access.js";
import { showFields, showWay } from "./answer.js";
import { showSnippets } from "./snippets.js";
import { stage } from "./stage.js";

const NAMES = ["preset", "w", "h", "fit", "gravity", "dpr", "bg", "type", "ifBlank"];
const PAUSE = 150; // milliseconds after the last change

const base = new URL("..", import.meta.url).href;
const form = document.getElementById("request");
const fields = form.elements;
const facts = document.getElementById("facts");
const problem = document.getElementById("problem");
const { contacts, writable } = document.documentElement.dataset;

const description = await (await fetch(`${base}openapi.json`)).json();
let waiting, running, etag;

/** The contact, and the parameters that are not the default. */
function requested() {
  const given = {};
  for (const name of NAMES) {
    const text = fields[name].value.trim();
    if (text && !(name === "dpr" && text === "1") && !(name === "fit" && text === "contain")) given[name] = text;
  }
  if (!fields.enlarge.checked) given.enlarge = false;
  if (given.ifBlank === "Initials") given.name = fields.name.value;
  return { contact: fields.contact.value || "0", given };
}

function header() {
  const sent = { Accept: fields.accept.value.trim() || "*/*" };
  if (fields.language.value) sent["Accept-Language"] = fields.language.value;
  return sent;
}

/** Request the picture and show the answer. `more` are further header fields. */
async function request(more = {}) {
  clearTimeout(waiting);
  running?.abort();
  const mine = (running = new AbortController());
  const { contact, given } = requested();
  const url = pictureUrl(encodeURIComponent(contact), { base, ...given });
  const begun = performance.now();
  showSnippets({ contact, given, header: header() });
  for (const each of document.querySelectorAll("[data-contact]")) each.textContent = contact;
  document.getElementById("picture").alt = `The picture of contact ${contact}`;
  for (const each of document.querySelectorAll("#contacts button")) {
    each.setAttribute("aria-pressed", each.value === contact);
  }
  try {
    const headers = { ...header(), ...authorization(), ...more };
    const response = await fetch(url, { headers, credentials: "omit", cache: "no-store", signal: mine.signal });
    const body = await response.blob();
    await show(response, body, performance.now() - begun, mine);
  } catch (error) {
    if (error.name === "AbortError") return;
    facts.textContent = "";
    refuse("There is no answer.", error.message);
  }
}

async function show(response, body, elapsed, mine) {
  const type = (response.headers.get("Content-Type") ?? "").split(";")[0];
  const words = [];
  if (response.ok) {
    etag = response.headers.get("ETag");
    problem.hidden = true;
    const picture = type === "application/json" ? decoded(await body.text()) : body;
    const { given } = requested();
    const size = await stage.show(picture, given);
    if (mine.signal.aborted) return;
    if (size) words.push(`${size.width} × ${size.height} pixels`);
    else refuse("This browser does not show this format.", `The answer is ${type}.`);
    showSnippets({ contact: requested().contact, given, header: header(), size });
  } else if (response.status === 304) {
    problem.hidden = true;
    words.push("the copy is still valid");
  } else {
    const words = type.endsWith("json") ? JSON.parse(await body.text()) : {};
    refuse(words.title ?? response.statusText, words.detail ?? "");
  }
  if (type) words.unshift(type.replace(/^image\//, "").toUpperCase());
  words.push(`${body.size.toLocaleString("en")} bytes`);
  facts.replaceChildren(chip(response), ...words.map(span));
  showWay(response, elapsed);
  showFields(response, description.components.headers);
}

function refuse(title, detail) {
  problem.replaceChildren(Object.assign(document.createElement("strong"), { textContent: title }), ` ${detail}`);
  problem.hidden = false;
  stage.clear();
}

function decoded(json) {
  return new Blob([Uint8Array.from(atob(JSON.parse(json)), (letter) => letter.charCodeAt(0))]);
}

function span(text) {
  return Object.assign(document.createElement("span"), { textContent: text });
}

function chip(response) {
  const made = span(`${response.status} ${response.statusText}`.trim());
  made.className = response.ok || response.status === 304 ? "chip good" : "chip bad";
  return made;
}

function soon() {
  clearTimeout(waiting);
  waiting = setTimeout(request, PAUSE);
}

function option(text) {
  return new Option(text, text);
}

function build() {
  const parameters = description.components.parameters;
  const max = parameters.w.schema.maximum;
  for (const name of ["w", "h"]) fields[name].max = max;
  for (const text of parameters.fit.schema.enum) {
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "fit", value: text });
    radio.checked = text === "contain";
    const label = document.createElement("label");
    label.append(radio, span(text));
    document.getElementById("fit").append(label);
  }
  const words = parameters.gravity.schema.pattern.match(/[a-z]{3,}/g);
  document.getElementById("gravities").append(...words.map(option));
  // Other spellings are in lower case, numbers or media types.
  const spelled = (name) => parameters[name].schema.enum.filter((text) => /^[A-Z]/.test(text));
  fields.type.append(...spelled("type").map(option));
  fields.ifBlank.append(...spelled("ifBlank").filter((text) => text !== "Null").map(option));
  const presets = parameters.preset.schema.enum ?? [];
  fields.preset.append(...presets.map(option));
  document.getElementById("presets").hidden = !presets.length;
  stage.start({
    max,
    changed: (sides, done) => {
      for (const [name, pixels] of Object.entries(sides)) fields[name].value = pixels;
      if (done) request();
      else soon();
    },
  });
  list(contacts.split(" ").filter(Boolean));
}

/** Show a small picture of each of `ids`, which are the demo's contacts. */
function list(ids) {
  const group = document.getElementById("contacts");
  group.hidden = !ids.length;
  for (const id of ids) {
    const small = pictureUrl(id, { base, w: 44, h: 44, dpr: 2, fit: "cover", gravity: "top", ifBlank: "Default" });
    const button = Object.assign(document.createElement("button"), { type: "button", value: id });
    const image = { src: small, alt: `Contact ${id}`, width: 44, height: 44, loading: "lazy" };
    button.append(Object.assign(document.createElement("img"), image));
    button.addEventListener("click", () => {
      fields.contact.value = id;
      request();
    });
    group.append(button);
  }
}

build();
offerAccess({
  schemes: Object.keys(description.components.securitySchemes),
  writable: writable === "true",
  contact: () => fields.contact.value,
  url: (id) => pictureUrl(encodeURIComponent(id), { base }),
  request,
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  request();
});
form.addEventListener("input", (event) => {
  if (event.target.id === "pick") fields.bg.value = event.target.value.slice(1);
  else if (/^[0-9a-f]{6}$/i.test(fields.bg.value)) document.getElementById("pick").value = `#${fields.bg.value}`;
  document.getElementById("named").hidden = fields.ifBlank.value !== "Initials";
  soon();
});
document.getElementById("again").addEventListener("click", () => request());
document.getElementById("revalidate").addEventListener("click", () => request(etag ? { "If-None-Match": etag } : {}));
request();
