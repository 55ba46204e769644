/** The list of conversations at the left. */

import { ask } from "../ui.js";
import { fill, h } from "./dom.js";

function day(milliseconds) {
  const then = new Date(milliseconds);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(then).setHours(0, 0, 0, 0)) / 864e5);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  return days < 7 ? "This week" : then.toLocaleDateString(undefined, { month: "long", year: "numeric" });
}

/** store: of the conversations; act: `open(id)`, `fresh()`, `say(text)` of the page. */
export class TalkList {
  #current = "";

  constructor(store, act) {
    this.store = store;
    this.act = act;
    this.search = h("input", { type: "search", placeholder: "Search titles", "aria-label": "Search conversations", oninput: () => this.#show() });
    this.list = h("div", { class: "talks-list" });
    this.element = h("div", { class: "talks" },
      h("button", { type: "button", class: "button plain", onclick: () => act.fresh() }, "New conversation"),
      this.search, this.list,
      h("div", { class: "talks-foot" },
        h("button", { type: "button", class: "quiet", onclick: () => this.#save() }, "Save all as a file"),
        h("button", { type: "button", class: "quiet", onclick: () => this.#clear() }, "Delete all")));
    this.talks = [];
  }

  /** Read the list anew; `current` is the open conversation. */
  async refresh(current) {
    this.#current = current;
    this.talks = await this.store.list();
    this.#show();
  }

  /** Mark the open conversation. */
  mark(id) {
    this.#current = id;
    this.#show();
  }

  #show() {
    const words = this.search.value.toLowerCase();
    const found = this.talks.filter((talk) => talk.title.toLowerCase().includes(words));
    const groups = Map.groupBy(found, (talk) => day(talk.updated));
    fill(this.list,
      [...groups].map(([name, talks]) => [h("p", { class: "talks-day" }, name), h("ul", {}, talks.map((talk) => this.#entry(talk)))]),
      found.length === 0 ? h("p", { class: "muted" }, words ? "No title has that." : "Nothing here yet: your first message begins a conversation.") : null);
  }

  #entry(talk) {
    return h("li", {},
      h("button", { type: "button", class: "talk", title: talk.title, "aria-current": talk.id === this.#current ? "true" : null,
        onclick: () => this.act.open(talk.id) }, talk.title),
      h("button", { type: "button", class: "quiet", "aria-label": `Delete ${talk.title}`, onclick: () => this.#remove(talk) }, "×"));
  }

  async #remove(talk) {
    if (!(await ask("Delete this conversation?", talk.title, "Delete conversation"))) return;
    await this.store.remove(talk.id);
    if (talk.id === this.#current) this.act.fresh();
    await this.refresh(this.#current);
  }

  async #clear() {
    if (this.talks.length === 0) return;
    if (!(await ask(`Delete all ${this.talks.length} conversations?`, "They are kept in this browser only, and cannot be brought back.", "Delete all"))) return;
    await this.store.clear();
    this.act.fresh();
    await this.refresh("");
  }

  async #save() {
    const text = JSON.stringify(await this.store.everything(), null, 1);
    const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    h("a", { href: address, download: "conversations.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }
}
