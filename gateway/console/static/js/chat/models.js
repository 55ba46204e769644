/** The models of this gateway, and the dialog in which one is chosen. */

import { count, fill, h } from "./dom.js";
import { operationOf } from "./media.js";

/** Abilities that the picker filters by: a label, and how a model's entry tells it. */
const ABILITIES = [
  ["Images", (model) => reads(model, "image")],
  ["Files", (model) => reads(model, "file")],
  ["Audio", (model) => reads(model, "audio")],
  ["Functions", (model) => takes(model, "tools")],
  ["Reasoning", (model) => model.supported_parameters.includes("reasoning_effort")],
  ["Makes images", (model) => operationOf(model) === "images"],
  ["Makes audio", (model) => operationOf(model) === "speech"],
];

/** Whether a model reads media of a kind (`image`, `file`, `audio`). */
export function reads(model, kind) {
  return model.architecture.input_modalities.includes(kind);
}

/** Whether a model takes a parameter; one that does not say what it takes may take it. */
export function takes(model, parameter) {
  const known = model.supported_parameters;
  return known.length === 0 || known.includes(parameter);
}

/** US dollars for a million tokens as text, from the price of one. */
function perMillion(price) {
  const amount = Number(price) * 1e6;
  return `$${amount.toFixed(amount > 0 && amount < 0.095 ? 3 : 2)}`;
}

/** A model's prices in a few words. */
function priceOf(model) {
  const { pricing } = model;
  if (pricing === null) return "no price";
  if (Number(pricing.prompt) === 0 && Number(pricing.completion) === 0) {
    const images = Object.values(pricing.images ?? {}).map(Number);
    if (images.some(Boolean)) return `up to $${Math.max(...images)} an image`;
    if (Number(pricing.character)) return `${perMillion(pricing.character)} per million characters`;
    return Object.values(pricing).some(Number) ? "see its page for the price" : "free";
  }
  return `${perMillion(pricing.prompt)} in, ${perMillion(pricing.completion)} out`;
}

/** A number of tokens in a few characters: `128k`, `1M`. */
export function tokens(number) {
  if (number >= 1e6) return `${Math.round(number / 1e5) / 10}M`;
  return number >= 1000 ? `${Math.round(number / 1000)}k` : String(number);
}

/** The models that hold every word of `search` and all of the `abilities` (labels), in the order of the list. */
function matching(models, search, abilities) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = ABILITIES.filter(([label]) => abilities.has(label));
  return models.filter((model) => {
    const text = `${model.id} ${model.name} ${model.owned_by} ${model.alias_of ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word)) && wanted.every(([, has]) => has(model));
  });
}

/** The dialog. `choose(model)` resolves with the id that was picked, or null. */
export class ModelPicker {
  #models;
  #abilities = new Set();
  #shown = [];
  #at = 0;
  #resolve = null;

  constructor(models) {
    this.#models = models;
    this.search = h("input", {
      type: "search", role: "combobox", "aria-expanded": "true", "aria-controls": "model-options",
      "aria-autocomplete": "list", "aria-label": "Search models", placeholder: "Search models", autocomplete: "off",
      spellcheck: "false", oninput: () => this.#show(0), onkeydown: (event) => this.#key(event),
    });
    this.options = h("ul", { id: "model-options", role: "listbox", "aria-label": "Models", class: "model-options" });
    this.none = h("p", { class: "muted", hidden: true }, "No model has all of that.");
    const filters = h("div", { class: "chips", role: "group", "aria-label": "Abilities" },
      ABILITIES.map(([label]) => h("button", { type: "button", class: "chip", "aria-pressed": "false",
        onclick: (event) => this.#toggle(event.currentTarget, label) }, label)));
    const close = h("button", { type: "button", class: "quiet", onclick: () => this.dialog.close() }, "Close");
    this.dialog = h("dialog", { class: "picker", "aria-label": "Choose a model",
      onclose: () => this.#finish(null),
      onclick: (event) => { if (event.target === this.dialog) this.dialog.close(); } },
    h("div", { class: "picker-head" }, this.search, close), filters, this.none, this.options);
  }

  /** Ask for a model; `current` is marked. */
  choose(current) {
    this.current = current;
    this.search.value = "";
    document.body.contains(this.dialog) || document.body.append(this.dialog);
    this.dialog.showModal();
    this.#show(Math.max(0, this.#models.findIndex((model) => model.id === current)));
    this.search.focus();
    return new Promise((resolve) => { this.#resolve = resolve; });
  }

  #finish(id) {
    const resolve = this.#resolve;
    this.#resolve = null;
    resolve?.(id);
  }

  #toggle(button, label) {
    const on = !this.#abilities.has(label);
    if (on) this.#abilities.add(label);
    else this.#abilities.delete(label);
    button.setAttribute("aria-pressed", String(on));
    this.#show(0);
  }

  #show(at) {
    this.#shown = matching(this.#models, this.search.value, this.#abilities);
    fill(this.options, this.#shown.map((model, index) => this.#option(model, index)));
    this.none.hidden = this.#shown.length > 0;
    this.#mark(Math.min(at, this.#shown.length - 1));
  }

  #option(model, index) {
    const facts = [
      model.context_length ? `${tokens(model.context_length)} context` : "",
      model.available ? priceOf(model) : "not available here",
    ].filter(Boolean).join(" · ");
    return h("li", { id: `model-option-${index}`, role: "option", class: "model-option",
      "aria-selected": String(model.id === this.current), "aria-disabled": model.available ? null : "true",
      onclick: () => this.#pick(index), onmousemove: () => this.#mark(index, false) },
    h("span", { class: "model-name" }, model.name),
    h("span", { class: "model-id" }, model.alias_of ? `${model.id} → ${model.alias_of}` : model.id),
    h("span", { class: "model-facts" }, facts));
  }

  #mark(at, scroll = true) {
    this.#at = at;
    const options = [...this.options.children];
    options.forEach((option, index) => option.classList.toggle("active", index === at));
    const active = options[at];
    if (active === undefined) this.search.removeAttribute("aria-activedescendant");
    else {
      this.search.setAttribute("aria-activedescendant", active.id);
      if (scroll) active.scrollIntoView({ block: "nearest" });
    }
  }

  #key(event) {
    const last = this.#shown.length - 1;
    const moves = { ArrowDown: this.#at + 1, ArrowUp: this.#at - 1, PageDown: this.#at + 8, PageUp: this.#at - 8,
      Home: 0, End: last };
    if (event.key in moves && !((event.key === "Home" || event.key === "End") && this.search.value !== "")) {
      this.#mark(Math.max(0, Math.min(last, moves[event.key])));
      event.preventDefault();
    } else if (event.key === "Enter") {
      this.#pick(this.#at);
      event.preventDefault();
    }
  }

  #pick(index) {
    const model = this.#shown[index];
    if (model === undefined || !model.available) return;
    this.#finish(model.id);
    this.dialog.close();
  }
}

/** A line about a model, below its name. */
export function about(model) {
  const facts = [
    model.context_length ? `${count(model.context_length)} tokens of context` : "",
    `${priceOf(model)}${model.pricing && Number(model.pricing.completion) > 0 ? " per million tokens" : ""}`,
  ];
  return facts.filter(Boolean).join(" · ");
}
