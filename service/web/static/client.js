// URLs of contacts' pictures. service/client.py has the same functions, and one that signs.

const NAMES = ["preset", "w", "h", "fit", "gravity", "dpr", "enlarge", "bg", "type", "ifBlank", "name", "v"];

/** The URL of the picture of `contact`. `base` is the service's URL; the other names are the parameters. */
export function pictureUrl(contact, { base = "", ...parameters } = {}) {
  for (const name of Object.keys(parameters)) {
    if (!NAMES.includes(name)) throw new TypeError(`no parameter of a picture: ${name}`);
  }
  const given = NAMES.filter((name) => parameters[name] !== undefined && parameters[name] !== null);
  const query = given.map((name) => `${name}=${encoded(parameters[name])}`).join("&");
  const path = `${base.replace(/\/+$/, "")}/api/v1/Contact/${contact}/Image`;
  return query ? `${path}?${query}` : path;
}

/** The value of `srcset` for screens with these `ratios` of pixels (`dpr`), or for these `widths` (`w`). */
export function srcset(contact, { ratios = [1, 2, 3], widths, ...options } = {}) {
  const urls = widths
    ? widths.map((w) => `${pictureUrl(contact, { ...options, w })} ${w}w`)
    : ratios.map((dpr) => `${pictureUrl(contact, { ...options, dpr })} ${dpr}x`);
  return urls.join(", ");
}

function encoded(value) {
  const escape = (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(String(value)).replace(/[!'()*]/g, escape);
}
