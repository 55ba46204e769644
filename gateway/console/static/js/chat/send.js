/** One request to the gateway, whose events fill a node. */

import { ApiError, headers } from "../api.js";
import { ChatReader, errorOf, ResponsesReader } from "./events.js";
import { MEDIA } from "./media.js";
import { bodyOf, routeOf } from "./request.js";
import { eventsOf } from "./sse.js";

/** An assistant's node before anything came. api: as `apiOf` names it. */
export function newAnswer(model, api) {
  return { role: "assistant", model, api, state: "streaming", blocks: [], notes: [] };
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
 * Send the branch `nodes` to the model of `node`, and fill that with what comes. changed: called after each event. signal:
 * stops it. Never throws: how it ended stands in `node.state` (`done`, `stopped`, `cut`, `failed`) and `node.error`.
 */
export async function answer(node, settings, nodes, { changed, signal }) {
  const began = performance.now();
  try {
    const body = bodyOf(node.api, node.model, settings, nodes);
    const response = await fetch(routeOf(node.api), {
      method: "POST", credentials: "same-origin", headers: headers({ "content-type": "application/json" }),
      body: JSON.stringify(body), signal,
    });
    node.requestId = response.headers.get("x-request-id") ?? "";
    if (!response.ok) throw await refusal(response);
    node.notes = notesOf(response.headers);
    node.by = response.headers.get("x-gateway-model") ?? "";
    node.cost = response.headers.get("x-gateway-cost");
    if (node.api in MEDIA) {
      await MEDIA[node.api].read(response, node);
      node.state = "done";
    } else {
      await follow(response, node, began, changed);
    }
  } catch (problem) {
    end(node, problem, signal);
  }
  node.total = performance.now() - began;
  changed();
}

async function follow(response, node, began, changed) {
  const reader = node.api === "responses" ? new ResponsesReader(node) : new ChatReader(node);
  for await (const data of eventsOf(response)) {
    reader.feed(data);
    if (node.first === undefined && node.blocks.length > 0) node.first = performance.now() - began;
    changed();
  }
  if (reader.failure) throw reader.failure;
  node.state = reader.ended ? "done" : "cut";
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
