// What an answer says of itself: the way it went, and its header fields in words.

const STEPS = {
  cache: "looking into the caches",
  store: "reading the stored picture",
  queue: "waiting for a render process",
  render: "rendering",
  rest: "outside of the service: network and browser",
};
const FORWARDS = {
  miss: "Not in a cache: it was made for this request",
  stale: "The cached one was too old: the store was asked again",
  "uri-miss": "Not in a cache: it was made for this request",
  bypass: "No cache was asked",
  request: "The request did not want a cached answer",
  method: "No cache answers this method",
  partial: "The cache had a part of it",
  "vary-miss": "Not in a cache in this form",
};
const DETAILS = {
  placeholder: "It is a placeholder: there is no picture.",
  unrenderable: "It is a placeholder: the stored picture cannot be rendered.",
  "first-frame": "It is the first frame: the animation is too long.",
};
const OTHERS = {
  "access-control-allow-origin": "Scripts of these pages may read the answer.",
  "access-control-expose-headers": "The fields that these scripts may read.",
  "content-length": "The bytes of the body.",
  "content-security-policy": "Opened by itself, the picture runs and loads nothing.",
  "content-type": "The format.",
  "cross-origin-resource-policy": "Which sites may show it.",
  date: "When it was sent.",
  "referrer-policy": "Links in it do not name this URL.",
  server: "The name of the service.",
  "timing-allow-origin": "Scripts of these pages may read the times.",
  "x-content-type-options": "Browsers do not guess another type.",
};
const DIRECTIVES = {
  "max-age": (seconds) => `browsers keep it ${span(seconds)}`,
  "s-maxage": (seconds) => `shared caches keep it ${span(seconds)}`,
  "stale-while-revalidate": (seconds) => `${span(seconds)} more while they ask again`,
  "stale-if-error": (seconds) => `${span(seconds)} more if the service is down`,
  immutable: () => "it never changes",
  "must-revalidate": () => "never without asking when it is old",
  "no-cache": () => "never without asking",
  "no-store": () => "no cache keeps it",
  private: () => "for the client's own cache alone",
  public: () => "for every cache",
};

function span(seconds) {
  for (const [unit, length] of [["days", 86400], ["hours", 3600], ["minutes", 60]]) {
    if (seconds >= 2 * length && seconds % length === 0) return `${seconds / length} ${unit}`;
  }
  return `${seconds} s`;
}

function element(name, text, className = "") {
  return Object.assign(document.createElement(name), { textContent: text, className });
}

/** Show `Cache-Status` in words, and `Server-Timing` as a bar. `elapsed` are the milliseconds that the page waited. */
export function showWay(response, elapsed) {
  document.getElementById("way").textContent = route(response.headers.get("Cache-Status") ?? "", response.status);
  const timing = response.headers.get("Server-Timing") ?? "";
  const steps = [...timing.matchAll(/([a-z]+);dur=([0-9.]+)/g)].map(([, name, text]) => [name, Number(text)]);
  const inside = steps.reduce((sum, [, milliseconds]) => sum + milliseconds, 0);
  const bar = document.getElementById("bar");
  bar.replaceChildren(...steps.map(([name, milliseconds]) => {
    const part = element("span", "", name);
    part.style.flexGrow = (100 * milliseconds) / inside;
    return part;
  }));
  steps.push(["rest", Math.max(0, elapsed - inside)]);
  document.getElementById("steps").replaceChildren(...steps.map(([name, milliseconds]) => {
    const row = element("li", "", name);
    row.append(element("b", name), element("span", STEPS[name] ?? ""));
    row.append(element("span", `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`, "time"));
    return row;
  }));
}

function route(status, code) {
  const { hit, fwd, ttl, stored, collapsed, detail } = Object.fromEntries(
    status.split(";").slice(1).map((part) => [...part.trim().split("="), true]),
  );
  const words = [];
  if (hit) words.push(ttl < 0 ? `From a cache, ${-ttl} s too old.` : `From a cache, fresh for ${ttl} s more.`);
  else if (fwd) {
    const how = [FORWARDS[fwd] ?? fwd, collapsed && "together with another request", stored && "and is kept"];
    words.push(`${how.filter(Boolean).join(", ")}.`);
  }
  if (detail) words.push(DETAILS[detail] ?? detail);
  if (code === 304) words.push("The browser's copy is still valid, so no body was sent.");
  return words.join(" ") || "No cache was asked.";
}

/** Show the header fields with what they mean. `described` are those of the description, by name. */
export function showFields(response, described) {
  const names = Object.fromEntries(Object.keys(described).map((name) => [name.toLowerCase(), name]));
  const rows = [...response.headers].sort(([one], [other]) => (other in names) - (one in names));
  document.getElementById("headers").replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("div");
    const spelled = names[name] ?? name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
    row.append(element("dt", spelled), element("dd", value, "value"));
    row.append(element("dd", meaning(name, value, described[names[name]]?.description), "hint"));
    return row;
  }));
}

function meaning(name, value, description) {
  if (name !== "cache-control") return description ?? OTHERS[name] ?? "";
  const words = value.split(",").map((directive) => {
    const [key, seconds] = directive.trim().split("=");
    return DIRECTIVES[key]?.(Number(seconds)) ?? directive;
  });
  return `In words: ${words.join("; ")}.`;
}
