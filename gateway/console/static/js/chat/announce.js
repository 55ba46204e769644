/** What a screen reader is told while an answer comes: whole sentences, not every piece, and its end. */

import { h } from "./dom.js";

const EVERY = 2500;
const LONGEST = 600;

/** Speaks through a polite live region. */
export class Announcer {
  #said = 0;
  #last = 0;

  constructor() {
    this.element = h("div", { class: "sr", "aria-live": "polite", "data-announcer": true });
  }

  /** Say a text now. */
  say(text) {
    this.element.textContent = text;
  }

  /** An answer begins. */
  begin(name) {
    this.#said = 0;
    this.#last = performance.now();
    this.say(`${name} is answering.`);
  }

  /** The answer has grown to `text`: say the sentences that are new, now and then. */
  grow(text) {
    const now = performance.now();
    if (now - this.#last < EVERY) return;
    const fresh = text.slice(this.#said);
    const end = Math.max(fresh.lastIndexOf(". "), fresh.lastIndexOf("\n"), fresh.lastIndexOf("? "));
    if (end < 0) return;
    this.#last = now;
    this.#said += end + 1;
    this.say(fresh.slice(0, end + 1).slice(-LONGEST).trim());
  }

  /** The answer is over. ending: a sentence that says how. */
  end(text, ending) {
    const rest = text.slice(this.#said).trim();
    this.say(`${rest.slice(0, LONGEST)} ${ending}`.trim());
  }
}
