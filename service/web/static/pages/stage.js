// The picture in a frame whose edges set width and height, by pointer or by arrow keys.

const area = document.getElementById("stage");
const frame = document.getElementById("frame");
const picture = document.getElementById("picture");
const [right, bottom, corner] = ["right", "bottom", "corner"].map((name) => frame.querySelector(`.${name}`));
const STEP = 8; // pixels of an arrow key

let max = 4096;
let changed = () => {};
let box = { width: 320, height: 320 }; // pixels of the page that the frame stands for
let inner = box; // those of the picture in it
let scale = 1;

function lay() {
  const style = getComputedStyle(area);
  const wide = area.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const high = area.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
  scale = Math.min(1, wide / box.width, high / box.height);
  draw();
}

function draw() {
  frame.style.width = `${box.width * scale}px`;
  frame.style.height = `${box.height * scale}px`;
  picture.style.width = `${inner.width * scale}px`;
  picture.style.height = `${inner.height * scale}px`;
  right.setAttribute("aria-valuenow", Math.round(box.width));
  bottom.setAttribute("aria-valuenow", Math.round(box.height));
}

function side(pixels) {
  return Math.max(1, Math.min(max, Math.round(pixels)));
}

function drag(handle, sides) {
  handle.addEventListener("pointerdown", (down) => {
    if (down.button) return;
    down.preventDefault();
    handle.focus();
    handle.setPointerCapture(down.pointerId);
    frame.classList.add("dragged");
    const start = { ...box };
    const move = (event) => {
      // The frame is in the middle, so an edge moves by half of what the side grows.
      const grown = { w: (2 * (event.clientX - down.clientX)) / scale, h: (2 * (event.clientY - down.clientY)) / scale };
      set({
        ...(sides.includes("w") && { w: side(start.width + grown.w) }),
        ...(sides.includes("h") && { h: side(start.height + grown.h) }),
      });
    };
    const end = () => {
      handle.removeEventListener("pointermove", move);
      frame.classList.remove("dragged");
      changed({}, true);
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("lostpointercapture", end, { once: true });
  });
}

function press(handle, name) {
  const signs = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -10, PageDown: 10 };
  handle.addEventListener("keydown", (event) => {
    const now = name === "w" ? box.width : box.height;
    const ends = { Home: 1, End: max };
    if (!(event.key in signs) && !(event.key in ends)) return;
    event.preventDefault();
    set({ [name]: side(ends[event.key] ?? now + signs[event.key] * (event.shiftKey ? 1 : STEP)) });
    lay();
  });
}

function set(sides) {
  box = { width: sides.w ?? box.width, height: sides.h ?? box.height };
  draw();
  changed(sides, false);
}

export const stage = {
  /** Let the handles set sides up to `options.max` pixels, and call `options.changed` with them. */
  start(options) {
    ({ max, changed } = options);
    for (const handle of [right, bottom]) handle.setAttribute("aria-valuemax", max);
    drag(right, ["w"]);
    drag(bottom, ["h"]);
    drag(corner, ["w", "h"]);
    press(right, "w");
    press(bottom, "h");
    new ResizeObserver(lay).observe(area);
  },

  /** Show the file `blob`. Return its size in pixels, or undefined if the browser cannot show it. */
  async show(blob, { w, h, dpr = 1, fit = "contain" }) {
    const image = Object.assign(new Image(), { src: URL.createObjectURL(blob) });
    try {
      await image.decode();
    } catch {
      URL.revokeObjectURL(image.src);
      return undefined;
    }
    URL.revokeObjectURL(picture.src);
    picture.src = image.src;
    picture.hidden = false;
    const ratio = w > 0 || h > 0 ? Number(dpr) || 1 : 1;
    inner = { width: image.naturalWidth / ratio, height: image.naturalHeight / ratio };
    box = { width: Number(w) || inner.width, height: Number(h) || inner.height };
    frame.dataset.fit = fit;
    if (!frame.classList.contains("dragged")) lay();
    return { width: image.naturalWidth, height: image.naturalHeight, shown: inner };
  },

  /** Show no picture. */
  clear() {
    URL.revokeObjectURL(picture.src);
    picture.removeAttribute("src");
    picture.hidden = true;
  },
};
