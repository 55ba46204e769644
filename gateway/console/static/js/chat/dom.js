/**
 * Elements without markup: text becomes text nodes, never HTML, so nothing that a model or a person wrote is parsed.
 */

/**
 * An element. props: `class`, `on<event>` functions, `dataset`, properties that are written as such (`value`,
 * `checked`, ...), and attributes; null, undefined and false leave an attribute out, true writes it empty.
 * children: nodes, texts, arrays of them; null and false are skipped.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "value" || name === "checked" || name === "indeterminate") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Replace what is in `element`; returns it. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Whole numbers with thin groups, as the reader's language writes them. */
export function count(number) {
  return new Intl.NumberFormat().format(number);
}

/** Seconds as `0.42 s`, `12.3 s` or `2 min 5 s`. */
export function duration(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** Bytes as `12 kB` or `3.4 MB`. */
export function bytes(size) {
  return size < 1e6 ? `${Math.max(1, Math.round(size / 1e3))} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

/** A new name for a thing that is kept in this browser. */
export function newId() {
  const raw = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(raw, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
