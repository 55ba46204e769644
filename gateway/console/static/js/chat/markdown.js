/**
 * Markdown to elements. The text is hostile: a model may have been told to write anything. It is cut into tokens by
 * marked's lexer, and each token becomes an element that is made here; HTML is shown as the text that it is, links lead
 * to http, https and mailto only, and pictures of other hosts are named, not loaded.
 */

import { lexer } from "../../vendor/marked.js";
import { fill, h } from "./dom.js";
import { highlight } from "./highlight.js";

const DEEPEST = 40;
const LONGEST = 400_000;
const PICTURE = /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/;
const NAMED = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", hellip: "…", mdash: "—", ndash: "–",
  copy: "©", reg: "®", trade: "™", times: "×", deg: "°", euro: "€", larr: "←", rarr: "→", le: "≤", ge: "≥", ne: "≠" };

/**
 * A place where a growing text is shown. `update` changes only the blocks whose source changed, so that a selection in
 * the earlier ones stays and a long answer costs little per piece.
 */
export class MarkdownView {
  #sources = [];
  #plain = null;

  constructor() {
    this.element = h("div", { class: "md" });
  }

  /** Show `text`. done: nothing more will come, code may be coloured. Returns the milliseconds it took. */
  update(text, done) {
    const began = performance.now();
    const tokens = text.length > LONGEST ? null : tokensOf(text);
    if (tokens === null) this.#showPlain(text);
    else this.#showBlocks(tokens, done);
    return performance.now() - began;
  }

  #showPlain(text) {
    if (this.#plain === null) {
      this.#plain = h("pre", { class: "plain" });
      fill(this.element, this.#plain);
      this.#sources = [];
    }
    this.#plain.textContent = text;
  }

  #showBlocks(tokens, done) {
    if (this.#plain !== null) {
      this.#plain = null;
      fill(this.element);
    }
    const blocks = tokens.filter((token) => token.type !== "space" && token.type !== "def");
    let same = 0;
    while (same < blocks.length && blocks[same].raw === this.#sources[same]) same += 1;
    const { children } = this.element;
    for (let at = same; at < blocks.length; at += 1) {
      const made = wholeBlock(blocks[at]);
      if (at < children.length) children[at].replaceWith(made);
      else this.element.append(made);
    }
    while (children.length > blocks.length) this.element.lastElementChild.remove();
    this.#sources = blocks.map((block) => block.raw);
    const settled = done ? children.length : children.length - 1;
    for (let at = 0; at < settled; at += 1) colour(children[at]);
  }
}

function tokensOf(text) {
  try {
    return lexer(text, { gfm: true, breaks: false });
  } catch {
    return null; // nested deeper than the stack: shown as plain text
  }
}

function colour(block) {
  for (const code of block.querySelectorAll("code[data-language]")) {
    const { language } = code.dataset;
    delete code.dataset.language;
    highlight(code, language);
  }
}

/** One element for a block, whatever it is. */
function wholeBlock(token) {
  const made = block(token, 0);
  return made instanceof Element ? made : h("p", {}, made);
}

function blocks(tokens, depth) {
  return (tokens ?? []).map((token) => block(token, depth));
}

function block(token, depth) {
  if (depth > DEEPEST) return token.raw;
  switch (token.type) {
    case "space": case "def": return null;
    case "heading": return h(`h${Math.min(6, token.depth + 2)}`, {}, inline(token.tokens, depth + 1));
    case "paragraph": return h("p", {}, inline(token.tokens, depth + 1));
    case "text": return token.tokens ? inline(token.tokens, depth + 1) : decoded(token.text);
    case "code": return codeBlock(token);
    case "blockquote": return h("blockquote", {}, blocks(token.tokens, depth + 1));
    case "hr": return h("hr");
    case "list": return list(token, depth);
    case "table": return table(token, depth);
    default: return token.raw; // HTML, and whatever is new
  }
}

function codeBlock(token) {
  const language = /^[\w+#.-]{1,30}/.exec(token.lang ?? "")?.[0].toLowerCase() ?? "";
  const code = h("code", { dataset: language ? { language } : {} }, token.text);
  return h("div", { class: "code" },
    language ? h("span", { class: "code-name" }, language) : null,
    h("pre", { tabindex: "0", "aria-label": "Code" }, code),
    h("button", { type: "button", class: "copy", "data-copy": true }, "Copy"));
}

function list(token, depth) {
  const start = token.ordered && Number.isInteger(token.start) && token.start !== 1 ? token.start : null;
  const items = token.items.map((item) => h("li", { class: item.task ? "task" : null }, blocks(item.tokens, depth + 1)
    .map((made, at) => item.tokens[at].type === "checkbox" ? checkbox(item) : made)));
  return h(token.ordered ? "ol" : "ul", { start }, items);
}

function checkbox(item) {
  return h("input", { type: "checkbox", disabled: true, checked: item.checked === true,
    "aria-label": item.checked ? "done" : "not done" });
}

function table(token, depth) {
  const cell = (tag) => (one) => h(tag, { class: one.align ? `align-${one.align}` : null,
    scope: tag === "th" ? "col" : null }, inline(one.tokens, depth + 1));
  return h("div", { class: "tablebox", tabindex: "0", role: "region", "aria-label": "Table" },
    h("table", {},
      h("thead", {}, h("tr", {}, token.header.map(cell("th")))),
      h("tbody", {}, token.rows.map((row) => h("tr", {}, row.map(cell("td")))))));
}

function inline(tokens, depth) {
  return (tokens ?? []).map((token) => span(token, depth));
}

function span(token, depth) {
  if (depth > DEEPEST) return token.raw;
  switch (token.type) {
    case "text": return token.tokens ? inline(token.tokens, depth + 1) : decoded(token.text);
    case "escape": return token.text;
    case "strong": return h("strong", {}, inline(token.tokens, depth + 1));
    case "em": return h("em", {}, inline(token.tokens, depth + 1));
    case "del": return h("del", {}, inline(token.tokens, depth + 1));
    case "codespan": return h("code", {}, token.text);
    case "br": return h("br");
    case "link": return link(token, depth);
    case "image": return image(token);
    case "html": return /^<br\s*\/?>$/i.test(token.raw) ? h("br") : token.raw;
    case "checkbox": return null;
    default: return token.raw;
  }
}

function link(token, depth) {
  const address = safeAddress(token.href);
  const shown = inline(token.tokens, depth + 1);
  if (address === null) return h("span", { class: "nolink", title: "This address is not opened from here" }, shown,
    ` (${decoded(token.href).slice(0, 200)})`);
  return outside(address, shown);
}

/** A link that leads away; its title says where to. */
export function outside(address, ...shown) {
  return h("a", { href: address, title: address, target: "_blank", rel: "noopener noreferrer nofollow" }, shown);
}

function image(token) {
  const source = token.href.replace(/\s/g, "");
  const name = decoded(token.text) || "picture";
  if (PICTURE.test(source)) return h("img", { src: source, alt: name, class: "picture" });
  const address = safeAddress(token.href);
  if (address === null) return `[${name}]`;
  return h("span", { class: "remote" }, "Picture, not loaded: ", outside(address, name, " (", hostOf(address), ")"));
}

/** The address when it may be a link: http, https or mailto, written out. null otherwise. */
export function safeAddress(text) {
  let url;
  try {
    url = new URL(decoded(text));
  } catch {
    return null;
  }
  return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
}

/** The host of an address that `safeAddress` let through. */
export function hostOf(address) {
  return new URL(address).host || address.replace(/^mailto:/, "");
}

/** Character references as the characters they stand for, as far as texts of models have them. */
function decoded(text) {
  return text.replace(/&(#x[0-9a-f]{1,6}|#[0-9]{1,7}|[a-z]{2,6});/gi, (whole, name) => {
    if (name[0] !== "#") return Object.hasOwn(NAMED, name) ? NAMED[name] : whole;
    const code = name[1] === "x" || name[1] === "X" ? parseInt(name.slice(2), 16) : parseInt(name.slice(1), 10);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
