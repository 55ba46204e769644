/** One talk with one model on the page: its head, its messages, and the request that goes on. */

import { fill, h } from "./dom.js";
import { MEDIA, operationOf } from "./media.js";
import { about } from "./models.js";
import { creditsText } from "./money.js";
import { apiOf } from "./request.js";
import { answer, newAnswer } from "./send.js";
import { addNode, choose, path, textOf, tip } from "./thread.js";
import { ThreadView } from "./view.js";

const NEAR = 80; // pixels from the end within which the view follows it
const SHARE = 6; // a frame's work may take a sixth of the time

/** number: which of the lanes; chat: the page. */
export class Lane {
  #frame = 0;
  #cost = 0;

  constructor(thread, number, chat) {
    this.thread = thread;
    this.chat = chat;
    this.number = number;
    this.view = new ThreadView(number, {
      regenerate: (at, node) => chat.regenerate(at, node),
      edit: (at, node, text) => chat.edit(at, node, text),
      choose: (at, id) => chat.choose(at, id),
      branch: (at, node) => chat.branch(at, node),
      answerCalls: (at, node, outputs, approvals) => chat.answerCalls(at, node, outputs, approvals),
      pick: (at) => chat.pick(at),
    }, (credits) => creditsText(credits, chat.config));
    this.head = h("div", { class: "lane-head" });
    this.element = h("section", { class: "lane", "aria-label": `Talk ${number + 1}` }, this.head, this.view.element);
  }

  /** The chosen model's entry, undefined when it is gone. */
  get model() {
    return this.chat.models.find((model) => model.id === this.thread.model);
  }

  /** What the chosen model is asked for, see `operationOf`. */
  get operation() {
    return this.model === undefined ? "chat" : operationOf(this.model);
  }

  /** Talk with another model from now on. */
  use(model) {
    this.thread.model = model;
    this.#showHead();
    this.#showMessages();
  }

  /** Show all of it. */
  show() {
    this.#showHead();
    this.#showMessages();
    this.#toEnd();
  }

  #showHead() {
    const { thread, number, model } = this;
    const two = this.chat.talk.threads.length > 1;
    fill(this.head,
      h("button", { type: "button", class: "model-button", "aria-haspopup": "dialog", onclick: () => this.chat.pick(number) },
        h("span", { class: "sr" }, "Model: "), thread.model || "Choose a model"),
      h("span", { class: "model-about" }, model ? about(model) : "not available here"),
      two ? h("button", { type: "button", class: "quiet", onclick: () => this.chat.keep(number) }, "Keep only this") : null);
  }

  #showMessages() {
    this.view.show(this.thread);
    if (path(this.thread).length === 0) this.view.element.append(this.#welcome());
  }

  #welcome() {
    const examples = MEDIA[this.operation]?.examples ?? ["Explain what a hash map is, with an example in Python.",
      "Write a haiku about the sea.", "Compare TCP and UDP in a table."];
    return h("div", { class: "welcome" },
      h("p", { class: "empty-title" }, `Ask ${this.thread.model || "a model"} something`),
      h("p", { class: "muted" }, "Conversations stay in this browser. Each answer shows its tokens and what it cost."),
      this.number === 0 ? h("ul", {}, examples.map((text) => h("li", {}, h("button", { type: "button", class: "button plain small",
        onclick: () => {
          const { box } = this.chat.parts;
          box.value = text;
          box.dispatchEvent(new Event("input"));
          box.focus();
        } }, text)))) : null);
  }

  /** Show the branch of a node. */
  choose(id) {
    choose(this.thread, id);
    this.#showMessages();
  }

  /** End the shown branch at a node. */
  backTo(id) {
    delete this.thread.chosen[id];
  }

  /** Ask the model to go on; resolves when its answer has ended. */
  async ask(settings, signal) {
    const nodes = path(this.thread);
    const node = addNode(this.thread, tip(this.thread), newAnswer(this.thread.model, apiOf(settings, this.operation)));
    this.#showMessages();
    this.#toEnd();
    const { announcer } = this.chat;
    const first = this.number === 0;
    if (first) announcer.begin(this.thread.model);
    await answer(node, settings, nodes, { signal, changed: () => {
      this.#later(node);
      if (first) announcer.grow(textOf(node));
    } });
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#follow(() => this.#showMessages());
    announcer.end(first ? textOf(node) : "", ending(node));
  }

  /** Show the node's new content at the next frame, or later where showing it is dear. */
  #later(node) {
    if (this.#frame !== 0) return;
    const due = performance.now() + this.#cost * SHARE;
    const draw = () => {
      if (performance.now() < due) {
        this.#frame = requestAnimationFrame(draw);
        return;
      }
      this.#frame = 0;
      this.#follow(() => { this.#cost = this.view.refresh(node); });
    };
    this.#frame = requestAnimationFrame(draw);
  }

  #follow(change) {
    const { element } = this.view;
    const near = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR;
    change();
    if (near) this.#toEnd();
  }

  #toEnd() {
    const { element } = this.view;
    element.scrollTop = element.scrollHeight;
  }
}

function ending(node) {
  if (node.state === "failed") return `The answer of ${node.model} failed: ${node.error.message}`;
  const said = { stopped: "stopped", cut: "cut off" }[node.state] ?? "complete";
  return `The answer of ${node.model} is ${said}.`;
}
