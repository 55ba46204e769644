/**
 * What is sent: settings and a branch of a talk as the body of a request, in either of the two APIs. Pure, so that the
 * code that is shown is the request that is made.
 *
 * settings: `{api, system, temperature, top_p, max_tokens, stop, seed, frequency_penalty, presence_penalty,
 * reasoning_effort, json, functions, tool_choice, search, search_size, servers, image_size, image_quality, voice}`;
 * numbers are null and words empty when they are the model's own, `functions` is a list of `{name, description, parameters}`, `servers` of `{label, url, approval,
 * authorization}`.
 */

import { MEDIA, mediaBody } from "./media.js";
import { textOf } from "./thread.js";

/** The settings of a new conversation. */
export const DEFAULTS = Object.freeze({
  api: "chat", system: "", temperature: null, top_p: null, max_tokens: null, stop: "", seed: null,
  frequency_penalty: null, presence_penalty: null, reasoning_effort: "", json: false, functions: "", tool_choice: "auto",
  search: false, search_size: "medium", servers: [], image_size: "", image_quality: "", voice: "",
});

/** What serves a model that does `operation`: its media, or an API for talk; approvals exist in the Responses API only. */
export function apiOf(settings, operation = "chat") {
  if (operation in MEDIA) return operation;
  return settings.api === "responses" || settings.servers.some((server) => server.approval !== "never")
    ? "responses" : "chat";
}

/** Where a request of this API goes. */
export function routeOf(api) {
  if (api in MEDIA) return MEDIA[api].route;
  return api === "responses" ? "/v1/responses" : "/v1/chat/completions";
}

/** Functions out of the text of the settings: a list, or one, in the form of either API. Throws with what is wrong. */
export function readFunctions(text) {
  if (text.trim() === "") return [];
  let value;
  try {
    value = JSON.parse(text);
  } catch (problem) {
    throw new Error(`This is not JSON: ${problem.message}`);
  }
  const list = Array.isArray(value) ? value : [value];
  return list.map((entry, at) => {
    const found = entry?.function ?? entry;
    if (typeof found?.name !== "string" || !/^[A-Za-z0-9_-]{1,64}$/.test(found.name)) {
      throw new Error(`Function ${at + 1} needs a "name" of letters, digits, _ and -.`);
    }
    const parameters = found.parameters ?? { type: "object", properties: {} };
    if (typeof parameters !== "object" || Array.isArray(parameters)) {
      throw new Error(`"parameters" of ${found.name} must be a JSON Schema.`);
    }
    return { name: found.name, ...(found.description ? { description: String(found.description) } : {}), parameters };
  });
}

function given(settings, names) {
  const found = {};
  for (const [mine, theirs] of Object.entries(names)) {
    const value = settings[mine];
    if (value !== null && value !== undefined && value !== "") found[theirs] = value;
  }
  return found;
}

function serverTool(server) {
  const tool = { type: "mcp", server_label: server.label };
  if (server.url) tool.server_url = server.url;
  if (server.authorization) tool.authorization = server.authorization;
  tool.require_approval = server.approval;
  return tool;
}

/** The body of a request to an API. nodes: the branch to answer. Throws for functions that are no JSON. */
export function bodyOf(api, model, settings, nodes) {
  if (api in MEDIA) return mediaBody(api, model, settings, nodes);
  return api === "responses" ? responsesBody(model, settings, nodes) : chatBody(model, settings, nodes);
}

// -- chat completions ------------------------------------------------------------------------------------------------

const CHAT_NAMES = {
  temperature: "temperature", top_p: "top_p", max_tokens: "max_completion_tokens", seed: "seed",
  frequency_penalty: "frequency_penalty", presence_penalty: "presence_penalty", reasoning_effort: "reasoning_effort",
};

function chatBody(model, settings, nodes) {
  const messages = nodes.flatMap((node) => chatMessages(node, model));
  if (settings.system.trim()) messages.unshift({ role: "system", content: settings.system });
  const body = { model, messages, stream: true, ...given(settings, CHAT_NAMES) };
  const stops = settings.stop.split("\n").filter((line) => line !== "");
  if (stops.length > 0) body.stop = stops;
  if (settings.json) body.response_format = { type: "json_object" };
  const tools = [
    ...readFunctions(settings.functions).map((one) => ({ type: "function", function: one })),
    ...settings.servers.map(serverTool),
  ];
  if (tools.length > 0) body.tools = tools;
  if (settings.functions.trim() && settings.tool_choice !== "auto") body.tool_choice = settings.tool_choice;
  if (settings.search) body.web_search_options = { search_context_size: settings.search_size };
  return body;
}

function chatMessages(node, model) {
  if (node.role === "user") return [{ role: "user", content: chatContent(node) }];
  if (node.role === "results") {
    return Object.entries(node.outputs).map(([id, output]) => ({ role: "tool", tool_call_id: id, content: output }));
  }
  const calls = node.blocks.filter((block) => block.kind === "call");
  const text = textOf(node);
  if (calls.length === 0 && text === "") return []; // an answer that was stopped before it said anything
  const message = { role: "assistant", content: text || null };
  if (calls.length > 0) {
    message.tool_calls = calls.map((call) => ({
      id: call.id, type: "function", function: { name: call.name, arguments: call.arguments },
    }));
    // Models that think want their thoughts back while their calls are answered; nobody else's model reads them.
    if (node.model === model && node.thoughts) Object.assign(message, node.thoughts);
  }
  return [message];
}

function chatContent(node) {
  if (!node.files?.length) return node.text;
  const parts = node.files.map((file) => {
    if (file.kind === "image") return { type: "image_url", image_url: { url: file.data } };
    if (file.kind === "audio") return { type: "input_audio", input_audio: { data: base64(file), format: file.format } };
    if (file.kind === "text") return { type: "text", text: fileText(file) };
    return { type: "file", file: { filename: file.name, file_data: file.data } };
  });
  return node.text ? [...parts, { type: "text", text: node.text }] : parts;
}

function base64(file) {
  return file.data.slice(file.data.indexOf(",") + 1);
}

function fileText(file) {
  return `File ${JSON.stringify(file.name)}:\n\n${file.text}`;
}

// -- responses -------------------------------------------------------------------------------------------------------

const RESPONSES_NAMES = {
  temperature: "temperature", top_p: "top_p", max_tokens: "max_output_tokens",
  frequency_penalty: "frequency_penalty", presence_penalty: "presence_penalty",
};

function responsesBody(model, settings, nodes) {
  const body = { model, input: nodes.flatMap((node) => inputItems(node, model)), stream: true, store: false };
  if (settings.system.trim()) body.instructions = settings.system;
  Object.assign(body, given(settings, RESPONSES_NAMES));
  if (settings.reasoning_effort) body.reasoning = { effort: settings.reasoning_effort, summary: "auto" };
  if (settings.json) body.text = { format: { type: "json_object" } };
  const tools = [
    ...readFunctions(settings.functions).map((one) => ({ type: "function", ...one })),
    ...(settings.search ? [{ type: "web_search", search_context_size: settings.search_size }] : []),
    ...settings.servers.map(serverTool),
  ];
  if (tools.length > 0) body.tools = tools;
  if (settings.functions.trim() && settings.tool_choice !== "auto") body.tool_choice = settings.tool_choice;
  body.include = ["reasoning.encrypted_content", ...(settings.search ? ["web_search_call.action.sources"] : [])];
  return body;
}

function inputItems(node, model) {
  if (node.role === "user") return [{ type: "message", role: "user", content: inputContent(node) }];
  if (node.role === "results") {
    return [
      ...Object.entries(node.outputs).map(([id, output]) => ({ type: "function_call_output", call_id: id, output })),
      ...Object.entries(node.approvals ?? {}).map(([id, approve]) => ({
        type: "mcp_approval_response", approval_request_id: id, approve,
      })),
    ];
  }
  // What came over this API goes back as it came; thoughts of another model would only be refused.
  if (node.output) return node.output.filter((item) => node.model === model || item.type !== "reasoning");
  const items = [];
  const text = textOf(node);
  if (text) items.push({ type: "message", role: "assistant", content: [{ type: "output_text", text }] });
  for (const call of node.blocks.filter((block) => block.kind === "call")) {
    items.push({ type: "function_call", call_id: call.id, name: call.name, arguments: call.arguments });
  }
  return items;
}

function inputContent(node) {
  if (!node.files?.length) return [{ type: "input_text", text: node.text }];
  const parts = node.files.map((file) => {
    if (file.kind === "image") return { type: "input_image", image_url: file.data };
    if (file.kind === "audio") return { type: "input_audio", input_audio: { data: base64(file), format: file.format } };
    if (file.kind === "text") return { type: "input_text", text: fileText(file) };
    return { type: "input_file", filename: file.name, file_data: file.data };
  });
  return node.text ? [...parts, { type: "input_text", text: node.text }] : parts;
}
