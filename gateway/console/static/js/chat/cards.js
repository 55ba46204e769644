/** Small cards for what happens inside an answer: functions that the caller is to run, searches, pages, MCP servers. */

import { h } from "./dom.js";
import { hostOf, outside, safeAddress } from "./markdown.js";

const RUNNING = new Set(["running", "in_progress", "searching", "calling", "interpreting", "generating", "delta", "progress"]);

/** JSON text with line ends, or the text itself when it is none. */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return String(text ?? "");
  }
}

function state(word) {
  const kind = word === "failed" ? "bad" : RUNNING.has(word) ? "busy" : "good";
  const names = { bad: "failed", busy: word === "searching" ? "searching" : "running", good: "done" };
  return h("span", { class: `card-state ${kind}` }, names[kind]);
}

function block(label, text) {
  return text ? [h("div", { class: "card-label" }, label), h("pre", { tabindex: "0" }, text)] : [];
}

function card(kind, title, stateWord, body) {
  const head = [h("span", { class: "card-kind" }, kind), h("span", { class: "card-title" }, title), state(stateWord)];
  return body.length > 0
    ? h("details", { class: "card" }, h("summary", {}, head), h("div", { class: "card-body" }, body))
    : h("div", { class: "card" }, h("div", { class: "card-line" }, head));
}

function addresses(sources) {
  const known = (sources ?? []).map((source) => [safeAddress(source?.url ?? ""), source?.title]).filter(([url]) => url);
  if (known.length === 0) return [];
  return [h("ul", { class: "sources" }, known.map(([url, title]) => h("li", {}, outside(url, title || hostOf(url)))))];
}

function searchCard(item, word) {
  const action = item.action ?? {};
  if (action.type === "open_page" || action.url) {
    const url = safeAddress(action.url ?? "");
    return card("Page", url ? hostOf(url) : "a page", word, url ? [outside(url, url)] : []);
  }
  const query = action.query ?? action.queries?.join(", ") ?? "";
  return card("Web search", query || "the web", word, addresses(action.sources));
}

function mcpCard(item, word) {
  return card("MCP", `${item.server_label}: ${item.name}`, word,
    [...block("Arguments", pretty(item.arguments)), ...block("Output", item.output), ...block("Error", errorText(item.error))]);
}

/** Open: nobody can allow what they do not see. */
function approvalCard(item) {
  const made = card("MCP", `${item.server_label}: ${item.name}`, "running", block("Arguments", pretty(item.arguments)));
  made.querySelector(".card-state").textContent = "asks first";
  if (made.tagName === "DETAILS") made.open = true;
  return made;
}

function listCard(item, word) {
  const tools = (item.tools ?? []).map((tool) => h("li", {}, h("code", {}, tool.name), " ", tool.description ?? ""));
  const number = tools.length > 0 ? `, ${tools.length} ${tools.length > 1 ? "tools" : "tool"}` : "";
  const body = [...(tools.length > 0 ? [h("ul", { class: "sources" }, tools)] : []), ...block("Error", errorText(item.error))];
  return card("MCP", `${item.server_label}: tools${number}`, word, body);
}

function errorText(error) {
  if (!error) return "";
  return typeof error === "string" ? error : String(error.message ?? JSON.stringify(error));
}

function imageCard(item, word) {
  const data = item.result ?? "";
  const shown = /^[A-Za-z0-9+/=]+$/.test(data)
    ? [h("img", { class: "picture", alt: "The picture that was made", src: `data:image/png;base64,${data}` })] : [];
  const made = card("Picture", "made by the provider", word, shown);
  if (shown.length > 0) made.open = true;
  return made;
}

/** A card for a `tool` block. */
export function toolCard(found) {
  const { item, state: word } = found;
  switch (item.type) {
    case "web_search_call": return searchCard(item, word);
    case "mcp_call": return mcpCard(item, word);
    case "mcp_list_tools": return listCard(item, word);
    case "mcp_approval_request": return approvalCard(item);
    case "image_generation_call": return imageCard(item, word);
    default: return card("Tool", String(item.type).replaceAll("_", " "), word,
      block("Item", JSON.stringify(item, null, 2).slice(0, 4000)));
  }
}

/** A card for a `call` block: a function of the caller's. output: what was answered, if anything was. */
export function callCard(call, output) {
  const made = card("Function", call.name || "function", output === undefined ? "running" : "completed",
    [...block("Arguments", pretty(call.arguments)), ...block("Result", output)]);
  made.querySelector(".card-state").textContent = output === undefined ? "waits for you" : "answered";
  if (made.tagName === "DETAILS") made.open = output === undefined;
  return made;
}

/**
 * The form in which a person answers the calls of an answer: a result for each function, yes or no for each approval.
 * send: takes outputs by call id and approvals by request id.
 */
export function callForm(calls, send) {
  const fields = calls.map((call) => call.kind === "call" ? functionField(call) : approvalField(call.item));
  const fault = h("p", { class: "fault", role: "alert", hidden: true });
  return h("form", { class: "callform", onsubmit: (event) => {
    event.preventDefault();
    const outputs = {};
    const approvals = {};
    for (const field of fields) field.read(outputs, approvals);
    const missing = calls.some((call) => call.kind !== "call" && approvals[call.item.id] === undefined);
    fault.hidden = !missing;
    fault.textContent = missing ? "Say for each call whether it may be made." : "";
    if (!missing) send(outputs, approvals);
  } }, fields.map((field) => field.element), fault,
  h("button", { type: "submit", class: "button" }, fields.length > 1 ? "Send answers" : "Send answer"));
}

function functionField(call) {
  const box = h("textarea", { class: "mono", rows: "2", placeholder: '{"result": "..."}', spellcheck: "false" });
  return {
    element: h("label", { class: "field" }, h("span", { class: "label" }, `Result of ${call.name}`), box),
    read: (outputs) => { outputs[call.id] = box.value; },
  };
}

function approvalField(item) {
  const choice = (value, label) => h("label", { class: "radio" },
    h("input", { type: "radio", name: item.id, value }), label);
  const element = h("fieldset", { class: "field" },
    h("legend", { class: "label" }, `May ${item.server_label} run ${item.name}?`),
    choice("yes", "Yes, run it"), choice("no", "No"));
  return {
    element,
    read: (outputs, approvals) => {
      const chosen = element.querySelector("input:checked")?.value;
      if (chosen !== undefined) approvals[item.id] = chosen === "yes";
    },
  };
}
