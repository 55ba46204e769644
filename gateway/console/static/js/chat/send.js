/** One request to the gateway, whose events fill a node. */

import { ApiError, headers } from "../api.js";
import { ChatReader, errorOf, ResponsesReader } from "./events.js";
import { apiOf, bodyOf, routeOf } from "./request.js";
import { eventsOf } from "./sse.js";

/** An assistant's node before anything came. */
export function newAnswer(model) {
  return { role: "assistant", model, state: "streaming", blocks: [], notes: [] };
}

/** What the gateway changed or left out, as it tells in headers. */
function notesOf(told) {
  const dropped = told.get("x-gateway-dropped-params");
  const clamped = told.get("x-gateway-clamped");
  return [
    dropped ? `Left out, because this model's provider cannot be told: ${dropped}` : "",
    clamped ? `The output limit was lowered: ${clamped}` : "",
    told.get("x-gateway-demo") === "true" ? "Answered by the embedded echo model: no provider has a key here." : "",
  ].filter(Boolean);
}

async function refusal(response) {
  const members = {
    status: response.status,
    requestId: response.headers.get("x-request-id") ?? "",
    retryAfter: Number(response.headers.get("retry-after")) || null,
  };
  try {
    return errorOf(await response.json(), members);
  } catch {
    return errorOf(`The gateway answered with status ${response.status}.`, members);
  }
}

/**
 * Send the branch `nodes` to `model`, and fill `node` with what comes. changed: called after each event. signal: stops
 * it. Never throws: how it ended stands in `node.state` (`done`, `stopped`, `cut`, `failed`) and `node.error`.
 */
export async function answer(node, model, settings, nodes, { changed, signal }) {
  const began = performance.now();
  const kind = apiOf(settings);
  try {
    const body = bodyOf(model, settings, nodes);
    const response = await fetch(routeOf(kind), {
      method: "POST", credentials: "same-origin", headers: headers({ "content-type": "application/json" }),
      body: JSON.stringify(body), signal,
    });
    node.requestId = response.headers.get("x-request-id") ?? "";
    if (!response.ok) throw await refusal(response);
    node.notes = notesOf(response.headers);
    node.by = response.headers.get("x-gateway-model") ?? "";
    const reader = kind === "responses" ? new ResponsesReader(node) : new ChatReader(node);
    for await (const data of eventsOf(response)) {
      reader.feed(data);
      if (node.first === undefined && node.blocks.length > 0) node.first = performance.now() - began;
      changed();
    }
    if (reader.failure) throw reader.failure;
    node.state = reader.ended ? "done" : "cut";
  } catch (problem) {
    end(node, problem, signal);
  }
  node.total = performance.now() - began;
  changed();
}

function end(node, problem, signal) {
  if (signal.aborted) {
    node.state = "stopped";
  } else if (problem instanceof ApiError) {
    node.state = "failed";
    const { message, status, type, code, retryAfter } = problem;
    node.error = { message, status, type: type ?? "", code: code ?? "", retryAfter };
  } else if (node.blocks.length > 0 && problem instanceof TypeError) {
    node.state = "cut";
  } else {
    node.state = "failed";
    const message = problem instanceof TypeError
      ? "The gateway cannot be reached. Is it running, and is this computer online?" : problem.message;
    node.error = { message, status: 0, type: "", code: "" };
  }
}
