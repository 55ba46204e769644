/** Colours for code: the grammars are loaded when a block of their language is first shown. */

import { h } from "./dom.js";

// What authors write behind the fence -> our file in vendor/highlight.
const FILES = {
  bash: "bash", sh: "bash", shell: "bash", zsh: "bash", console: "bash", c: "c", h: "c", cpp: "cpp", "c++": "cpp",
  cc: "cpp", hpp: "cpp", cs: "csharp", csharp: "csharp", css: "css", scss: "css", diff: "diff", patch: "diff",
  docker: "dockerfile", dockerfile: "dockerfile", go: "go", golang: "go", ini: "ini", toml: "ini", java: "java",
  js: "javascript", jsx: "javascript", javascript: "javascript", mjs: "javascript", json: "json", jsonc: "json",
  kotlin: "kotlin", kt: "kotlin", php: "php", py: "python", python: "python", rb: "ruby", ruby: "ruby", rs: "rust",
  rust: "rust", sql: "sql", ts: "typescript", tsx: "typescript", typescript: "typescript", html: "xml", xml: "xml",
  svg: "xml", vue: "xml", yaml: "yaml", yml: "yaml",
};
const LONGEST = 60_000;

let core = null;
const ready = new Map();

async function load(file) {
  core ??= import("../../vendor/highlight/core.js").then((module) => module.default);
  const [hljs, grammar] = await Promise.all([core, import(`../../vendor/highlight/${file}.js`)]);
  hljs.registerLanguage(file, grammar.default);
  return hljs;
}

/** Colour the text of a `<code>` element; one of an unknown language, or a very long one, stays as it is. */
export async function highlight(code, language) {
  const file = Object.hasOwn(FILES, language) ? FILES[language] : undefined;
  const text = code.textContent;
  if (file === undefined || text.length > LONGEST) return;
  if (!ready.has(file)) ready.set(file, load(file));
  try {
    const hljs = await ready.get(file);
    if (code.textContent !== text) return; // more has come meanwhile, and will be coloured in its turn
    const marked = hljs.highlight(text, { language: file, ignoreIllegals: true }).value;
    code.replaceChildren(...spansOf(marked));
  } catch {
    ready.delete(file); // not loaded: plain code is code too
  }
}

/**
 * The highlighter writes HTML. It is parsed into a document without scripts or loading, and only its spans and texts
 * are taken over.
 */
function spansOf(html) {
  const body = new DOMParser().parseFromString(html, "text/html").body;
  return Array.from(body.childNodes, copy).filter((node) => node !== null);
}

function copy(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.data);
  if (node.nodeType !== Node.ELEMENT_NODE) return null;
  const kept = Array.from(node.childNodes, copy).filter((child) => child !== null);
  if (node.localName !== "span") return h("span", {}, kept);
  const classes = node.className.split(/\s+/).filter((name) => /^(hljs-[\w-]+|[\w-]+_)$/.test(name));
  return h("span", { class: classes.join(" ") || null }, kept);
}
