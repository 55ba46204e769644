/**
 * What comes back: events of either API become the blocks of an assistant's node.
 *
 * A block is `{kind: "text", text}`, `{kind: "reasoning", text}`, `{kind: "refusal", text}`, `{kind: "call", id, name,
 * arguments}` (a function of the caller's) or `{kind: "tool", item, state}` (a search, a page, an MCP server's tool: an
 * item of the Responses API, which chat completions tell in `delta.x_gateway`).
 */

import { ApiError } from "../api.js";

/** The error that a body of JSON tells, whatever shape it has. members: more to know of it, such as `requestId`. */
export function errorOf(body, members = {}) {
  const told = body?.error ?? body ?? {};
  const error = typeof told === "string" ? { message: told } : told;
  const message = error.message ? String(error.message) : "The answer could not be read.";
  return Object.assign(new ApiError(members.status ?? 0, { ...error, message }), members);
}

function blockOf(node, kind) {
  const last = node.blocks.at(-1);
  if (last?.kind === kind && !last.closed) return last;
  const block = { kind, text: "" };
  node.blocks.push(block);
  return block;
}

function grow(node, kind, text) {
  if (typeof text === "string" && text !== "") blockOf(node, kind).text += text;
}

function cite(node, annotation) {
  const found = annotation.url_citation ?? annotation;
  if (typeof found?.url !== "string") return;
  node.sources ??= [];
  if (!node.sources.some((source) => source.url === found.url)) {
    node.sources.push({ url: found.url, title: typeof found.title === "string" ? found.title : "" });
  }
}

function toolBlock(node, id) {
  return node.blocks.findLast((block) => block.kind === "tool" && block.item.id === id);
}

function itemAdded(node, item) {
  if (typeof item?.id === "string" && toolBlock(node, item.id) === undefined) {
    node.blocks.push({ kind: "tool", item, state: "running" });
  }
}

function itemStep(node, id, type) {
  const block = toolBlock(node, id);
  if (block !== undefined) block.state = type.split(".").at(-1);
}

function itemDone(node, item) {
  let block = toolBlock(node, item?.id);
  if (block === undefined) {
    itemAdded(node, item);
    block = toolBlock(node, item?.id);
  }
  if (block === undefined) return;
  block.item = item;
  block.state = item.error || item.status === "failed" ? "failed" : "completed";
}

// -- chat completions ------------------------------------------------------------------------------------------------

/** Reads the events of a chat completion into `node`. `ended` is true once the stream came to its proper end. */
export class ChatReader {
  #calls = new Map();

  constructor(node) {
    this.node = node;
    this.ended = false;
    this.failure = null;
  }

  /** One event's data. Throws ApiError. */
  feed(data) {
    if (data === "[DONE]") {
      this.ended = true;
      return;
    }
    const chunk = JSON.parse(data);
    if (chunk.error) throw errorOf(chunk);
    if (chunk.usage) this.node.usage = chatUsage(chunk.usage);
    for (const choice of chunk.choices ?? []) {
      if ((choice.index ?? 0) !== 0) continue;
      this.#delta(choice.delta ?? {});
      if (choice.finish_reason) this.node.finish = choice.finish_reason;
    }
  }

  #delta(delta) {
    const { node } = this;
    for (const event of Array.isArray(delta.x_gateway) ? delta.x_gateway : []) this.#activity(event);
    grow(node, "reasoning", delta.reasoning_content ?? delta.reasoning);
    grow(node, "text", delta.content);
    grow(node, "refusal", delta.refusal);
    if (typeof delta.reasoning_content === "string") this.#thought("reasoning_content", delta.reasoning_content);
    if (Array.isArray(delta.reasoning_details)) this.#thought("reasoning_details", delta.reasoning_details);
    for (const annotation of delta.annotations ?? []) cite(node, annotation);
    for (const call of delta.tool_calls ?? []) this.#call(call);
  }

  #thought(name, more) {
    this.node.thoughts ??= {};
    const before = this.node.thoughts[name];
    this.node.thoughts[name] = before === undefined ? more : before.concat(more);
  }

  #call(call) {
    const index = call.index ?? 0;
    let block = this.#calls.get(index);
    if (block === undefined) {
      block = { kind: "call", id: "", name: "", arguments: "" };
      this.#calls.set(index, block);
      this.node.blocks.push(block);
    }
    if (call.id) block.id = call.id;
    if (call.function?.name) block.name = call.function.name;
    block.arguments += call.function?.arguments ?? "";
  }

  #activity(event) {
    const { node } = this;
    if (event.event === "added") itemAdded(node, event.item);
    else if (event.event === "event") itemStep(node, event.id, String(event.type));
    else if (event.event === "done") itemDone(node, event.item);
    else if (event.event === "round" && node.blocks.length > 0) node.blocks.at(-1).closed = true;
  }
}

function chatUsage(usage) {
  return {
    input: usage.prompt_tokens ?? 0,
    output: usage.completion_tokens ?? 0,
    cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
    reasoning: usage.completion_tokens_details?.reasoning_tokens ?? 0,
    cost: usage.cost ?? null,
  };
}

// -- responses -------------------------------------------------------------------------------------------------------

const OWN_ITEMS = new Set(["message", "reasoning", "function_call"]);

/** The same for the Responses API. `failure` is an error that was told, after which the end is yet to come. */
export class ResponsesReader {
  #calls = new Map();

  constructor(node) {
    this.node = node;
    this.ended = false;
    this.failure = null;
  }

  /** One event's data. Throws ApiError. */
  feed(data) {
    const event = JSON.parse(data);
    const { node } = this;
    switch (event.type) {
      case "response.output_item.added": this.#added(event.item); break;
      case "response.output_item.done": this.#done(event.item); break;
      case "response.output_text.delta": grow(node, "text", event.delta); break;
      case "response.refusal.delta": grow(node, "refusal", event.delta); break;
      case "response.reasoning_text.delta":
      case "response.reasoning_summary_text.delta": grow(node, "reasoning", event.delta); break;
      case "response.reasoning_summary_part.added": this.#part(event.summary_index); break;
      case "response.output_text.annotation.added": cite(node, event.annotation ?? {}); break;
      case "response.function_call_arguments.delta": {
        const block = this.#calls.get(event.item_id);
        if (block !== undefined) block.arguments += event.delta;
        break;
      }
      case "response.completed": case "response.incomplete": this.#end(event.response); break;
      case "response.failed": this.#end(event.response); throw this.failure ?? errorOf(event.response);
      case "error": this.failure = errorOf(event); break;
      default: if (typeof event.item_id === "string") itemStep(node, event.item_id, event.type);
    }
  }

  #part(index) {
    if (index > 0) grow(this.node, "reasoning", "\n\n");
  }

  #added(item) {
    if (item.type === "function_call") {
      const block = { kind: "call", id: item.call_id, name: item.name, arguments: item.arguments ?? "" };
      this.#calls.set(item.id, block);
      this.node.blocks.push(block);
    } else if (!OWN_ITEMS.has(item.type)) {
      itemAdded(this.node, item);
    }
  }

  #done(item) {
    const call = this.#calls.get(item.id);
    if (call !== undefined) call.arguments = item.arguments ?? call.arguments;
    else if (!OWN_ITEMS.has(item.type)) itemDone(this.node, item);
    else if (this.node.blocks.length > 0) this.node.blocks.at(-1).closed = true;
  }

  #end(response) {
    const { node } = this;
    this.ended = true;
    node.output = response?.output ?? null;
    const reason = response?.incomplete_details?.reason;
    node.finish = reason === "max_output_tokens" ? "length" : reason ?? "stop";
    const { usage } = response ?? {};
    if (usage) {
      node.usage = {
        input: usage.input_tokens ?? 0,
        output: usage.output_tokens ?? 0,
        cached: usage.input_tokens_details?.cached_tokens ?? 0,
        reasoning: usage.output_tokens_details?.reasoning_tokens ?? 0,
        cost: usage.cost ?? null,
      };
    }
  }
}
