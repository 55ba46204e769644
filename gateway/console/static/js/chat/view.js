/** How messages look: one element per node, changed in place while an answer grows. */

import { copy } from "../ui.js";
import { preview } from "./attachments.js";
import { callCard, callForm, toolCard } from "./cards.js";
import { count, duration, fill, h } from "./dom.js";
import { MEDIA } from "./media.js";
import { hostOf, MarkdownView, outside, safeAddress } from "./markdown.js";
import { openCalls, path, siblings, textOf } from "./thread.js";

const ENDINGS = {
  length: "The answer ended at its limit of tokens.",
  content_filter: "The provider's filter ended the answer.",
  max_tool_calls: "The limit of tool calls was reached.",
};

function button(label, act, more = {}) {
  return h("button", { type: "button", class: "quiet", onclick: act, ...more }, label);
}

function copyButton(text) {
  return button("Copy", (event) => copy(event.currentTarget, text()));
}

/** The talk with one model. act: what its buttons do, see `Actions` in main.js; money: writes amounts. */
export class ThreadView {
  #views = new Map();

  constructor(lane, act, money) {
    this.lane = lane;
    this.act = act;
    this.money = money;
    this.element = h("div", { class: "messages", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0" });
  }

  /** Show the branch of `thread` that is chosen. */
  show(thread) {
    this.thread = thread;
    const nodes = path(thread);
    const kept = new Map();
    for (const node of nodes) {
      const asked = thread.nodes[node.parent]?.text ?? "";
      const place = { number: siblings(thread, node.id), results: resultsAfter(nodes, node), last: node === nodes.at(-1), asked };
      const view = this.#views.get(node.id) ?? this.#make(node);
      view.show(place);
      kept.set(node.id, view);
    }
    this.#views = kept;
    this.element.replaceChildren(...[...kept.values()].map((view) => view.element));
  }

  #make(node) {
    if (node.role === "user") return new UserView(node, this);
    if (node.role === "results") return new ResultsView(node);
    return new AnswerView(node, this);
  }

  /** A node's content has changed. Returns the milliseconds that showing it took. */
  refresh(node) {
    return this.#views.get(node.id)?.update() ?? 0;
  }

  /** Begin to edit a user's message. */
  edit(id) {
    this.#views.get(id)?.edit?.();
  }
}

function resultsAfter(nodes, node) {
  const next = nodes[nodes.indexOf(node) + 1];
  return next?.role === "results" ? next : undefined;
}

/** `2 / 3` with buttons to the versions before and after; nothing for a single one. */
function versions(view, place) {
  const { number } = place;
  if (number.length < 2) return null;
  const at = number.indexOf(view.node.id);
  const go = (step, label, text) => button(text, () => view.owner.act.choose(view.owner.lane, number[at + step]),
    { "aria-label": label, disabled: number[at + step] === undefined });
  return h("span", { class: "versions" }, go(-1, "Version before", "‹"),
    h("span", { class: "figures" }, `${at + 1} / ${number.length}`), go(1, "Version after", "›"));
}

class UserView {
  constructor(node, owner) {
    this.node = node;
    this.owner = owner;
    this.body = h("div", { class: "said" });
    this.foot = h("div", { class: "foot" });
    this.element = h("article", { class: "message user", "aria-label": "You" }, this.body, this.foot);
  }

  show(place) {
    this.place = place;
    if (this.editing) return;
    const { node } = this;
    fill(this.body,
      node.files?.length ? h("ul", { class: "attachments" }, node.files.map((file) => h("li", {}, preview(file)))) : null,
      node.text ? h("p", { class: "usertext" }, node.text) : null);
    fill(this.foot, versions(this, place), button("Edit", () => this.edit()), copyButton(() => node.text));
  }

  /** Put a box in place of the text. */
  edit() {
    const { node, owner } = this;
    this.editing = true;
    const box = h("textarea", { rows: "3", value: node.text, "aria-label": "Edit your message",
      onkeydown: (event) => {
        if (event.key === "Escape") close();
        else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
        else return;
        event.preventDefault();
        event.stopPropagation();
      } });
    const close = () => {
      this.editing = false;
      this.show(this.place);
      this.foot.querySelector("button:not([aria-label])")?.focus();
    };
    const save = () => {
      this.editing = false;
      owner.act.edit(owner.lane, node, box.value);
    };
    fill(this.body, box);
    fill(this.foot, h("button", { type: "button", class: "button small", onclick: save }, "Send anew"), button("Cancel", close));
    box.focus();
  }

  update() {
    return 0;
  }
}

class ResultsView {
  constructor(node) {
    this.node = node;
    const functions = Object.keys(node.outputs).length;
    const yes = Object.values(node.approvals ?? {}).filter(Boolean).length;
    const no = Object.values(node.approvals ?? {}).length - yes;
    const parts = [functions ? `${functions} result${functions > 1 ? "s" : ""} sent` : "", yes ? `${yes} allowed` : "",
      no ? `${no} not allowed` : ""].filter(Boolean);
    this.element = h("p", { class: "aside" }, parts.join(", "));
  }

  show() {}

  update() {
    return 0;
  }
}

class AnswerView {
  #parts = [];
  #form = null;

  constructor(node, owner) {
    this.node = node;
    this.owner = owner;
    this.head = h("div", { class: "by" });
    this.body = h("div", { class: "blocks" });
    this.extra = h("div", { class: "extra" });
    this.foot = h("div", { class: "foot" });
    this.element = h("article", { class: "message assistant", "aria-label": `Answer of ${node.model}` },
      this.head, this.body, this.extra, this.foot);
  }

  show(place) {
    this.place = place;
    this.update();
  }

  update() {
    const { node } = this;
    const busy = node.state === "streaming";
    let spent = 0;
    fill(this.head, node.model, node.by && node.by !== node.model ? h("span", { class: "muted" }, ` by ${node.by}`) : null);
    node.blocks.forEach((block, at) => {
      this.#parts[at] ??= this.#part(block);
      spent += this.#parts[at].update(!busy || at < node.blocks.length - 1) ?? 0;
    });
    if (this.body.children.length !== this.#parts.length || this.#parts.some((part) => part.moved)) {
      this.body.replaceChildren(...this.#parts.map((part) => part.element));
      for (const part of this.#parts) part.moved = false;
    }
    this.element.classList.toggle("busy", busy);
    fill(this.extra, this.#waiting(busy), this.#sources(), this.#trouble(), this.#asked(busy));
    if (busy) fill(this.foot);
    else fill(this.foot, versions(this, this.place), this.#buttons(), this.#figures());
    return spent;
  }

  #part(block) {
    if (block.kind === "text") {
      const view = new MarkdownView();
      return { element: view.element, update: (done) => block.text === view.shown && done === view.done ? 0
        : (view.shown = block.text, view.done = done, view.update(block.text, done)) };
    }
    if (block.kind === "reasoning") return thoughts(block);
    if (block.kind === "refusal") {
      const element = h("p", { class: "refusal" });
      return { element, update: () => { element.textContent = block.text; } };
    }
    if (block.kind === "image" || block.kind === "audio") return mediaPart(block, this.place?.asked ?? "");
    return this.#cardPart(block);
  }

  #cardPart(block) {
    const part = { element: h("div"), key: "", moved: false };
    part.update = () => {
      const output = block.kind === "call" ? this.place?.results?.outputs[block.id] : undefined;
      const key = JSON.stringify([block, output]);
      if (key === part.key) return;
      const open = part.element.open;
      part.key = key;
      part.element = block.kind === "call" ? callCard(block, output) : toolCard(block);
      if (block.kind !== "call" && open !== undefined && part.element.tagName === "DETAILS") part.element.open ||= open;
      part.moved = true;
    };
    return part;
  }

  #waiting(busy) {
    if (!busy || this.node.blocks.length > 0) return null;
    return h("p", { class: "waiting" }, h("span", { class: "dot" }), MEDIA[this.node.api]?.waiting ?? "Waiting for the first token");
  }

  #sources() {
    const known = (this.node.sources ?? []).map((source) => [safeAddress(source.url), source.title]).filter(([url]) => url);
    if (known.length === 0) return null;
    return h("div", { class: "cited" }, h("span", { class: "muted" }, "Sources"),
      known.map(([url, title]) => outside(url, title || hostOf(url))));
  }

  #trouble() {
    const { node } = this;
    const notes = node.notes.map((note) => h("p", { class: "note" }, note));
    if (node.state === "failed") return [notes, trouble(node, this.owner)];
    if (node.state === "cut") {
      notes.push(h("p", { class: "note bad" }, "The answer was cut off before its end; what came is shown. Regenerate it to try again."));
    }
    if (node.state === "stopped") {
      notes.push(h("p", { class: "note" }, "Stopped. What was made until then is billed: see ", h("a", { href: "/usage" }, "Usage"), "."));
    }
    if (ENDINGS[node.finish]) notes.push(h("p", { class: "note" }, ENDINGS[node.finish]));
    return notes;
  }

  #asked(busy) {
    const calls = openCalls(this.node);
    if (busy || calls.length === 0 || this.place?.results || !this.place?.last) {
      this.#form = null;
      return null;
    }
    this.#form ??= callForm(calls, (outputs, approvals) =>
      this.owner.act.answerCalls(this.owner.lane, this.node, outputs, approvals));
    return this.#form;
  }

  #buttons() {
    const { node, owner } = this;
    return [textOf(node) ? copyButton(() => textOf(node)) : null, button("Regenerate", () => owner.act.regenerate(owner.lane, node)),
      button("Branch", () => owner.act.branch(owner.lane, node), { title: "Go on from here in a new conversation" })];
  }

  #figures() {
    const { usage, cost, first, total, requestId } = this.node;
    const parts = [];
    if (usage) {
      const more = [usage.cached ? `${count(usage.cached)} cached` : "", usage.reasoning ? `${count(usage.reasoning)} for thoughts` : ""];
      parts.push([`${count(usage.input)} in, ${count(usage.output)} out`, `Tokens${more.filter(Boolean).map((text) => `; ${text}`).join("")}`]);
    }
    const paid = usage?.cost ?? (cost ? Number(cost) : null);
    if (paid !== null) parts.push([this.owner.money(paid), `${count(paid)} credits`]);
    if (first !== undefined) parts.push([`first token ${duration(first)}`, "Time from sending to the first token"]);
    if (total !== undefined) parts.push([`total ${duration(total)}`, requestId ? `Request ${requestId}` : ""]);
    return h("span", { class: "figures" }, parts.map(([text, title]) => h("span", { title }, text)));
  }
}

/** A picture or a recording, with a way to keep it. asked: what the picture was asked to show. */
function mediaPart(block, asked) {
  const shown = block.kind === "image"
    ? h("img", { src: block.data, alt: `Made for: ${asked}` })
    : h("audio", { src: block.data, controls: true, "aria-label": "The spoken text" });
  const element = h("figure", { class: "made-media" }, shown,
    h("figcaption", {}, h("a", { href: block.data, download: block.name }, `Save ${block.name}`)));
  return { element, update: () => 0 };
}

function thoughts(block) {
  const name = h("span", {});
  const text = h("div", { class: "thoughts" });
  const element = h("details", { class: "reasoning" }, h("summary", {}, name), text);
  return { element, update: (done) => {
    name.textContent = done ? "Reasoning" : "Reasoning…";
    if (text.textContent !== block.text) text.textContent = block.text;
  } };
}

/** An error that helps: what happened, what to do next, and the id to name when reporting it. */
function trouble(node, owner) {
  const { error, requestId } = node;
  const next = [];
  if (error.status === 402 || error.type === "insufficient_quota") {
    next.push(h("a", { href: "/credits", class: "button small" }, "Buy credits"));
  } else if (error.status === 401) {
    next.push(h("a", { href: "/login?next=%2Fchat", class: "button small" }, "Sign in again"));
  } else if (error.code !== "model_unavailable" && error.code !== "model_unpriced") {
    const wait = error.retryAfter ? ` (after ${Math.ceil(error.retryAfter)} s)` : "";
    next.push(h("button", { type: "button", class: "button small", onclick: () => owner.act.regenerate(owner.lane, node) },
      `Try again${wait}`));
  }
  if (error.code === "model_unavailable" || error.code === "model_not_found") {
    next.push(h("button", { type: "button", class: "button small", onclick: () => owner.act.pick(owner.lane) }, "Choose another model"));
  }
  return h("div", { class: "banner bad", role: "alert" }, h("p", {}, error.message),
    requestId ? h("p", { class: "muted" }, "Request ", h("code", {}, requestId)) : null,
    next.length > 0 ? h("p", {}, next) : null);
}
