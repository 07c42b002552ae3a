// Credentials, which stay in this module's memory, and the changes that they allow.

const PREFIXES = { basic: "Basic", bearer: "Bearer", soticket: "SoTicket" };
const form = document.getElementById("credentials");
const changed = document.getElementById("changed");
const file = document.getElementById("file");
const sure = document.getElementById("sure");
let credential;
let page;

/** The header field with the credentials, if there are any. */
export function authorization() {
  return credential ? { Authorization: credential } : {};
}

/**
 * Offer the `schemes` that a page can send, and changes if these are `writable`. `contact()` is the contact, `url(id)` the
 * URL of its picture, and `request()` requests it again.
 */
export function offerAccess({ schemes, writable, ...functions }) {
  page = functions;
  const usable = Object.keys(PREFIXES).filter((name) => schemes.includes(name));
  form.elements.scheme.append(...usable.map((name) => new Option(PREFIXES[name], name)));
  form.hidden = !usable.length;
  document.getElementById("writes").hidden = !writable;
  document.getElementById("access").hidden = !usable.length && !writable;
  choose();
}

function choose() {
  const basic = form.elements.scheme.value === "basic";
  for (const each of form.querySelectorAll("[data-for]")) each.hidden = (each.dataset.for === "basic") !== basic;
}

function encoded(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

async function write(method, body) {
  const contact = page.contact();
  const headers = { ...authorization(), ...(body?.type && { "Content-Type": body.type }) };
  changed.textContent = "…";
  try {
    const response = await fetch(page.url(contact), { method, headers, body, credentials: "omit" });
    const text = await response.text();
    const refusal = response.ok ? null : JSON.parse(text);
    changed.textContent = refusal
      ? `${response.status} ${refusal.title}: ${refusal.detail}`
      : `${response.status}: the picture of contact ${contact} is ${method === "PUT" ? "stored" : "deleted"}.`;
    if (!response.ok) return;
    for (const small of document.querySelectorAll(`#contacts button[value="${CSS.escape(contact)}"] img`)) {
      small.dataset.url ??= small.src;
      const now = await fetch(small.dataset.url, { cache: "reload", credentials: "omit" });
      small.src = URL.createObjectURL(await now.blob());
    }
    page.request();
  } catch (error) {
    changed.textContent = `There is no answer. ${error.message}`;
  }
}

function upload(picture) {
  if (picture) write("PUT", picture);
  else changed.textContent = "Choose a file first.";
}

form.elements.scheme.addEventListener("change", choose);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { scheme, user, password, token } = form.elements;
  const text = scheme.value === "basic" ? encoded(`${user.value}:${password.value}`) : token.value.trim();
  credential = `${PREFIXES[scheme.value]} ${text}`;
  changed.textContent = "The credentials are sent with each request of this page.";
  page.request();
});
document.getElementById("forget").addEventListener("click", () => {
  credential = undefined;
  form.reset();
  choose();
  changed.textContent = "The credentials are forgotten.";
  page.request();
});
document.getElementById("upload").addEventListener("click", () => upload(file.files[0]));
document.getElementById("remove").addEventListener("click", () => sure.showModal());
document.getElementById("no").addEventListener("click", () => sure.close());
document.getElementById("yes").addEventListener("click", () => {
  sure.close();
  write("DELETE");
});
