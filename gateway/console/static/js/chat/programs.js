/** "View code": the request that the page would make now, as a program. */

import { copy } from "../ui.js";
import { fill, h } from "./dom.js";
import { programs, shortened } from "./code.js";
import { highlight } from "./highlight.js";

const LANGUAGES = [["python", "Python"], ["javascript", "JavaScript"], ["curl", "curl"]];

/** The dialog. base: how this page reaches the gateway. */
export class ProgramDialog {
  constructor(base) {
    this.base = base;
    this.place = h("div", {});
    this.dialog = h("dialog", { class: "programs", "aria-labelledby": "programs-title",
      onclick: (event) => { if (event.target === this.dialog) this.dialog.close(); } },
    h("div", { class: "head" }, h("h2", { id: "programs-title" }, "The same request as code"),
      h("button", { type: "button", class: "button plain small", onclick: () => this.dialog.close() }, "Close")),
    h("p", { class: "muted" }, "With a key of ", h("a", { href: "/settings/api-keys" }, "API keys"),
      " in place of YOUR_KEY. Files are shown shortened, and copied whole."),
    this.place);
  }

  /** Show a request to an API. */
  show(api, body) {
    const whole = programs(this.base, api, body);
    const shown = programs(this.base, api, shortened(body));
    fill(this.place, h("fieldset", { class: "tabs" }, h("legend", { class: "sr" }, "Language"),
      LANGUAGES.map(([language, name], at) => this.#tab(language, name, at === 0, shown[language], whole[language]))));
    document.body.contains(this.dialog) || document.body.append(this.dialog);
    this.dialog.showModal();
  }

  #tab(language, name, on, shown, whole) {
    const code = h("code", {}, shown);
    highlight(code, language === "curl" ? "bash" : language);
    const button = h("button", { type: "button", class: "copy", onclick: () => copy(button, whole) }, "Copy");
    const id = `program-${language}`;
    return [h("input", { type: "radio", name: "program", id, value: name, checked: on }), h("label", { for: id }, name),
      h("div", { class: "tab" }, h("div", { class: "code" }, h("pre", { tabindex: "0", "aria-label": `${name} program` }, code), button))];
  }
}
