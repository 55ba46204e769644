/**
 * A talk with one model: a tree of messages, and which branch of it is shown. Plain data (it is stored as it is), and
 * functions over it. Editing or regenerating adds a sibling, so nothing that was said is lost.
 *
 * A node is `{id, parent, role, at, ...}`; role: `user` (text, files), `assistant` (model, state, blocks, ...) or
 * `results` (outputs of functions, answers to approvals). parent: "" for the first ones. at: milliseconds.
 */

import { newId } from "./dom.js";

/** An empty talk with a model. */
export function newThread(model) {
  return { model, nodes: {}, chosen: {} };
}

/** The nodes that are shown, first to last. */
export function path(thread) {
  const found = [];
  let at = thread.chosen[""];
  while (at !== undefined && thread.nodes[at] !== undefined) {
    found.push(thread.nodes[at]);
    at = thread.chosen[at];
  }
  return found;
}

/** The shown nodes down to `id`, that one included. */
function pathTo(thread, id) {
  const found = [];
  for (let node = thread.nodes[id]; node !== undefined; node = thread.nodes[node.parent]) found.unshift(node);
  return found;
}

/** The last shown node's id, "" when there is none. */
export function tip(thread) {
  return path(thread).at(-1)?.id ?? "";
}

/** Add a node below `parent` and show it; returns it. */
export function addNode(thread, parent, members) {
  const node = { id: newId(), parent, at: Date.now(), ...members };
  thread.nodes[node.id] = node;
  thread.chosen[parent] = node.id;
  return node;
}

/** The ids of the nodes beside `id`, itself included, oldest first. */
export function siblings(thread, id) {
  const parent = thread.nodes[id].parent;
  return Object.values(thread.nodes)
    .filter((node) => node.parent === parent)
    .map((node) => node.id);
}

/** Show the branch of `id`. */
export function choose(thread, id) {
  thread.chosen[thread.nodes[id].parent] = id;
}

/** A new talk that holds only the branch down to `id`. */
export function copyBranch(thread, id) {
  const copy = newThread(thread.model);
  for (const node of pathTo(thread, id)) {
    copy.nodes[node.id] = structuredClone(node);
    copy.chosen[node.parent] = node.id;
  }
  return copy;
}

/** The text of an assistant's node. */
export function textOf(node) {
  if (node.role === "user") return node.text;
  return (node.blocks ?? [])
    .filter((block) => block.kind === "text")
    .map((block) => block.text)
    .join("\n\n");
}

/** The calls of an assistant's node that its user has to answer: functions of theirs, and approvals. */
export function openCalls(node) {
  if (node.role !== "assistant") return [];
  return node.blocks.filter(
    (block) => block.kind === "call" || (block.kind === "tool" && block.item.type === "mcp_approval_request"),
  );
}
