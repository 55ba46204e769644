/** "Dry run": what would happen to the request that the page would make now. Nothing is sent to a provider. */

import { call } from "../api.js";
import { count, fill, h } from "./dom.js";
import { shortened } from "./code.js";
import { highlight } from "./highlight.js";
import { creditsText } from "./money.js";
import { routeOf } from "./request.js";

/** The dialog. money: see `creditsText`. */
export class ExplainDialog {
  constructor(money) {
    this.money = money;
    this.place = h("div", { class: "explained", "aria-live": "polite" });
    this.dialog = h("dialog", { class: "programs", "aria-labelledby": "explain-title",
      onclick: (event) => { if (event.target === this.dialog) this.dialog.close(); } },
    h("div", { class: "head" }, h("h2", { id: "explain-title" }, "What would happen"),
      h("button", { type: "button", class: "button plain small", onclick: () => this.dialog.close() }, "Close")),
    h("p", { class: "muted" }, "A dry run: nothing is sent to a provider, counted or charged."),
    this.place);
  }

  /** Ask about a request to an API, and show the answer. */
  async show(api, body) {
    fill(this.place, h("p", { class: "muted" }, "Asking the gateway."));
    document.body.contains(this.dialog) || document.body.append(this.dialog);
    this.dialog.showModal();
    try {
      const found = await call("POST", "/v1/explain", { path: routeOf(api), body });
      fill(this.place, this.#verdict(found), stepsOf(found.steps), found.targets.map(targetOf));
    } catch (problem) {
      fill(this.place, h("p", { class: "banner bad", role: "alert" }, problem.message));
    }
  }

  #verdict(found) {
    if (!found.allowed) {
      const by = found.refusal.by ? ` by ${found.refusal.by}` : "";
      return h("p", { class: "banner bad" }, `It would be refused${by} with status ${found.refusal.status}: ${found.refusal.message}`);
    }
    const facts = [
      ["Held at first", found.hold === null ? "nothing" : creditsText(found.hold, this.money)],
      ["Costs at most", found.maximum_cost === null ? "nothing" : creditsText(found.maximum_cost, this.money)],
      ["Output limit", found.output_limit === null ? "none" : `${count(found.output_limit)} tokens`],
    ];
    if (found.clamped) facts.push(["Lowered", found.clamped]);
    return h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  }
}

function stepsOf(steps) {
  if (steps.length === 0) return null;
  return [
    h("h3", {}, "Checks"),
    h("table", { class: "cards" }, h("thead", {}, h("tr", {}, ["Plugin", "Phase", "Figures"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, steps.map((step) => h("tr", {}, h("th", { scope: "row" }, step.plugin),
        h("td", { "data-label": "Phase" }, step.phase),
        h("td", { "data-label": "Figures" }, step.refused ? `refuses: ${step.refused}` : figuresOf(step.figures)))))),
  ];
}

/** `balance 100, month_left 5`. */
function figuresOf(figures) {
  const said = Object.entries(figures).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  return said.join(", ");
}

function targetOf(target) {
  return [
    h("h3", {}, target.model, " ", h("span", { class: "muted" }, `at ${target.provider}`)),
    h("p", {}, `${target.why[0].toUpperCase()}${target.why.slice(1)}.`),
    target.fault ? h("p", { class: "banner bad" }, `Cannot be sent there: ${target.fault.message}`) : null,
    target.dropped.length > 0 ? h("p", {}, `Left out, because it cannot be told: ${target.dropped.join(", ")}`) : null,
    target.changed.map((change) => h("p", {}, `Changed: ${change.name} from ${JSON.stringify(change.asked)} to ${JSON.stringify(change.sent)}`)),
    target.requests.map(requestOf),
  ];
}

function requestOf(request) {
  const code = h("code", {}, pretty(request.body));
  highlight(code, "json");
  return h("details", {}, h("summary", {}, `${request.method} ${request.url}`),
    h("div", { class: "code" }, h("pre", { tabindex: "0", "aria-label": `Body for ${request.url}` }, code)));
}

function pretty(text) {
  try {
    return JSON.stringify(shortened(JSON.parse(text)), null, 2);
  } catch {
    return text;
  }
}
