// Texts to copy: the URL, curl, an element for a page, and the command that signs.

import { pictureUrl, srcset } from "../client.js";

const base = new URL("..", import.meta.url).href;
const copied = document.getElementById("copied");

/** Show the texts for a request. `size` is the size of the picture that it got. */
export function showSnippets({ contact, given, header, size }) {
  const id = encodeURIComponent(contact);
  const url = pictureUrl(id, { base, ...given });
  const lines = Object.entries(header).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  write("url", url);
  write("curl", ["curl -sS -OJ", ...lines, quoted(url)].join(" \\\n  "));
  write("img", image(id, given, url, size));
  write("sign", `contact-image sign ${quoted(pictureUrl(id, given))} \\\n  --expires 7d --base ${quoted(base)}`);
}

function image(id, { dpr, ...given }, url, size) {
  const sized = given.w > 0 || given.h > 0;
  const lines = [`<img src="${escaped(sized ? pictureUrl(id, { base, ...given }) : url)}"`];
  if (sized) lines.push(`  srcset="${escaped(srcset(id, { base, ...given })).replaceAll(", ", ",\n    ")}"`);
  const shown = size?.shown;
  const sides = shown ? ` width="${Math.round(shown.width)}" height="${Math.round(shown.height)}"` : "";
  return `${lines.join("\n")}\n ${sides} alt="" loading="lazy">`;
}

function write(id, text) {
  document.getElementById(id).textContent = text;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
}

for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", async () => {
    const code = document.getElementById(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(code.textContent);
      copied.textContent = "Copied.";
    } catch {
      // Without HTTPS a browser has no clipboard for pages.
      getSelection().selectAllChildren(code);
      copied.textContent = "Selected: copy it with Ctrl+C or ⌘C.";
    }
  });
}
