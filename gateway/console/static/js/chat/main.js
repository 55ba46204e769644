/** The playground: joins conversations, requests and views. */

import { Announcer } from "./announce.js";
import { ACCEPT, Attachments } from "./attachments.js";
import { fill, h, newId } from "./dom.js";
import { Lane } from "./lane.js";
import { MEDIA, operationOf, TEXT_ONLY } from "./media.js";
import { ModelPicker } from "./models.js";
import { ExplainDialog } from "./explain.js";
import { ProgramDialog } from "./programs.js";
import { apiOf, bodyOf, DEFAULTS } from "./request.js";
import { SettingsPanel } from "./settings.js";
import { TalkStore } from "./store.js";
import { TalkList } from "./talks.js";
import { addNode, copyBranch, newThread, path, tip } from "./thread.js";

const SAVE_AFTER = 800;
const LONGEST_TITLE = 60;
const MOST_LANES = 2;

class Chat {
  #saving = null;
  #unsaved = new Set();
  #running = new Map(); // lane -> AbortController

  constructor(root, config, models, store) {
    this.root = root;
    this.config = config;
    this.models = models;
    this.store = store;
    this.announcer = new Announcer();
    this.picker = new ModelPicker(models);
    this.programs = new ProgramDialog(config.base_url);
    this.explainer = new ExplainDialog(config);
    this.panel = new SettingsPanel(config, () => this.#settingsChanged());
    this.list = new TalkList(store, { open: (id) => this.open(id), fresh: () => this.fresh(), say: (text) => this.say(text) });
    this.files = new Attachments((text) => this.say(text));
    this.lanes = [];
    this.#wire();
  }

  // -- the page ------------------------------------------------------------------------------------------------------

  #wire() {
    const find = (name) => this.root.querySelector(`[data-part="${name}"]`);
    this.parts = Object.fromEntries(["lanes", "form", "box", "send", "stop", "attach", "files", "said", "talks", "params",
      "compare", "code", "explain", "show-talks", "show-params", "main"].map((name) => [name, find(name)]));
    const { parts } = this;
    parts.talks.append(this.list.element);
    parts.params.append(this.panel.element);
    parts.files.append(this.files.element);
    this.root.append(this.announcer.element);
    this.chooser = h("input", { type: "file", multiple: true, accept: ACCEPT, hidden: true, onchange: () => {
      this.files.add(this.chooser.files);
      this.chooser.value = "";
    } });
    this.root.append(this.chooser);
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    parts.box.addEventListener("input", () => this.#grow());
    parts.box.addEventListener("keydown", (event) => this.#boxKey(event));
    parts.box.addEventListener("paste", (event) => {
      if (event.clipboardData.files.length > 0) {
        event.preventDefault();
        this.files.add(event.clipboardData.files);
      }
    });
    parts.stop.addEventListener("click", () => this.stop());
    parts.attach.addEventListener("click", () => this.chooser.click());
    parts.compare.addEventListener("click", () => this.compare());
    parts.code.addEventListener("click", () => this.show(this.programs));
    parts.explain.addEventListener("click", () => this.show(this.explainer));
    this.#drawer(parts["show-talks"], parts.talks, "talks");
    this.#drawer(parts["show-params"], parts.params, "params");
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("visibilitychange", () => document.hidden && this.#flush());
    this.#drops(parts.main);
  }

  /** A side panel with the button that shows it; what was chosen on a wide screen is remembered. */
  #drawer(button, panel, name) {
    const narrow = matchMedia("(max-width: 1000px)");
    const show = (on) => {
      panel.hidden = !on;
      button.setAttribute("aria-expanded", String(on));
    };
    const remembered = () => localStorage.getItem(`chat.${name}`) !== "closed";
    show(!narrow.matches && remembered());
    narrow.addEventListener("change", () => show(!narrow.matches && remembered()));
    button.addEventListener("click", () => {
      show(panel.hidden);
      if (!narrow.matches) localStorage.setItem(`chat.${name}`, panel.hidden ? "closed" : "open");
      else if (!panel.hidden) panel.querySelector("button, input, textarea")?.focus();
    });
    const leave = () => {
      show(false);
      button.focus();
    };
    panel.prepend(h("button", { type: "button", class: "button plain small chat-close", onclick: leave }, "Close"));
    panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !narrow.matches) return;
      leave();
      event.stopPropagation();
    });
    document.addEventListener("pointerdown", (event) => {
      const inside = panel.contains(event.target) || button.contains(event.target) || event.target.closest("dialog");
      if (narrow.matches && !panel.hidden && !inside) show(false);
    });
    panel.addEventListener("close-drawer", () => narrow.matches && show(false));
  }

  #drops(area) {
    const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    area.addEventListener("dragover", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      area.classList.add("dropping");
    });
    for (const name of ["dragleave", "drop", "dragend"]) area.addEventListener(name, () => area.classList.remove("dropping"));
    area.addEventListener("drop", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      this.files.add(event.dataTransfer.files);
      this.parts.box.focus();
    });
  }

  #key(event) {
    if (document.querySelector("dialog[open]")) return;
    const command = event.ctrlKey || event.metaKey;
    if (command && !event.shiftKey && event.key.toLowerCase() === "k") this.pick(0);
    else if (command && event.shiftKey && event.key.toLowerCase() === "o") this.fresh();
    else if (event.key === "Escape" && this.#running.size > 0) this.stop();
    else return;
    event.preventDefault();
  }

  #boxKey(event) {
    const { box } = this.parts;
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.send();
    } else if (event.key === "ArrowUp" && box.value === "" && this.#running.size === 0) {
      const last = path(this.lanes[0].thread).findLast((node) => node.role === "user");
      if (last === undefined) return;
      event.preventDefault();
      this.lanes[0].view.edit(last.id);
    }
  }

  #grow() {
    const { box } = this.parts;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight + 2, 240)}px`;
  }

  /** Tell what went wrong, in sight and aloud. */
  say(text) {
    this.parts.said.textContent = text;
    this.parts.said.hidden = text === "";
  }

  // -- conversations -------------------------------------------------------------------------------------------------

  /** Begin a new conversation; nothing is kept of it before its first message. */
  fresh(model = this.lanes[0]?.thread.model ?? this.config.default_model) {
    this.stop();
    this.#use({ id: newId(), title: "", updated: Date.now(), settings: this.talk ? this.panel.kept : { ...DEFAULTS }, threads: [newThread(model)] });
    history.replaceState(null, "", location.pathname);
    this.parts.talks.dispatchEvent(new Event("close-drawer"));
    this.parts.box.focus();
  }

  /** Go on with a kept conversation; false when it is gone. */
  async open(id) {
    const talk = await this.store.get(id);
    if (talk === undefined) return false;
    this.stop();
    for (const thread of talk.threads) {
      for (const node of Object.values(thread.nodes)) if (node.state === "streaming") node.state = "cut";
    }
    this.#use(talk);
    history.replaceState(null, "", `#${id}`);
    this.parts.talks.dispatchEvent(new Event("close-drawer"));
    return true;
  }

  #use(talk) {
    this.talk = talk;
    this.panel.load(talk.settings);
    this.#showLanes();
    this.list.mark(talk.id);
    this.say("");
  }

  #showLanes() {
    const { threads } = this.talk;
    this.lanes = threads.map((thread, at) => new Lane(thread, at, this));
    fill(this.parts.lanes, this.lanes.map((lane) => lane.element));
    this.parts.lanes.classList.toggle("two", threads.length > 1);
    this.parts.compare.setAttribute("aria-pressed", String(threads.length > 1));
    this.#modelsChanged();
    for (const lane of this.lanes) lane.show();
  }

  #modelsChanged() {
    this.panel.showFor(this.lanes.map((lane) => lane.model).filter((model) => model !== undefined));
    this.parts.box.placeholder = MEDIA[this.lanes[0].operation]?.invites ?? "Write a message";
    this.#state();
  }

  #settingsChanged() {
    this.talk.settings = this.panel.kept;
    this.save();
  }

  /** Keep a conversation that has begun, a moment later, once for all that changes until then. */
  save(talk = this.talk) {
    if (!talk.title) return;
    talk.updated = Date.now();
    this.#unsaved.add(talk);
    this.#saving ??= setTimeout(() => this.#flush(), SAVE_AFTER);
  }

  async #flush() {
    clearTimeout(this.#saving);
    this.#saving = null;
    const talks = [...this.#unsaved];
    this.#unsaved.clear();
    try {
      for (const talk of talks) await this.store.put(talk);
    } catch (problem) {
      this.say(`This browser keeps no more conversations: ${problem.message} Delete some on the left.`);
    }
    await this.list.refresh(this.talk.id);
  }

  // -- asking --------------------------------------------------------------------------------------------------------

  /** Send what is in the box to every lane. */
  async send() {
    const { box } = this.parts;
    const text = box.value.trim();
    if ((text === "" && this.files.files.length === 0) || this.#running.size > 0 || !this.#ready()) return;
    if (this.files.files.length > 0 && this.lanes.some((lane) => lane.operation in MEDIA)) {
      this.say(TEXT_ONLY);
      return;
    }
    const files = this.files.take();
    box.value = "";
    this.#grow();
    this.say("");
    this.#name(text || files[0].name);
    for (const lane of this.lanes) {
      addNode(lane.thread, tip(lane.thread), { role: "user", text, files });
      this.run(lane);
    }
  }

  #ready() {
    if (!this.panel.valid()) {
      if (this.parts.params.hidden) this.parts["show-params"].click();
      this.panel.valid();
      return false;
    }
    return true;
  }

  #name(text) {
    if (this.talk.title) return;
    const line = text.replace(/\s+/g, " ").trim();
    this.talk.title = line.length > LONGEST_TITLE ? `${line.slice(0, LONGEST_TITLE - 1)}…` : line;
    history.replaceState(null, "", `#${this.talk.id}`);
  }

  /** Ask a lane's model to go on from the end of its branch. */
  async run(lane) {
    const { talk } = this;
    const controller = new AbortController();
    this.#running.set(lane, controller);
    this.#state();
    this.save(talk);
    await lane.ask(this.panel.sent, controller.signal);
    this.#running.delete(lane);
    this.#state();
    this.save(talk);
  }

  /** Stop every answer that is being made. */
  stop() {
    for (const controller of this.#running.values()) controller.abort();
  }

  #state() {
    const busy = this.#running.size > 0;
    const { send, stop } = this.parts;
    const focused = document.activeElement === (busy ? send : stop);
    send.hidden = busy;
    stop.hidden = !busy;
    if (focused) (busy ? stop : send).focus();
  }

  /** Choose the model of a lane. */
  async pick(at) {
    const lane = this.lanes[at];
    const chosen = await this.picker.choose(lane.thread.model);
    if (chosen === null) return;
    lane.use(chosen);
    this.#modelsChanged();
    this.save();
  }

  /** Set a second model beside the first, or go on with the first alone. */
  async compare() {
    if (this.#running.size > 0) return;
    const { threads } = this.talk;
    if (threads.length >= MOST_LANES) {
      this.keep(0);
      return;
    }
    const chosen = await this.picker.choose("");
    if (chosen === null) return;
    const nodes = path(threads[0]);
    const other = nodes.length > 0 ? copyBranch(threads[0], nodes.at(-1).id) : newThread(chosen);
    other.model = chosen;
    threads.push(other);
    this.#showLanes();
    this.save();
  }

  /** Go on with one of two lanes. */
  keep(at) {
    if (this.#running.size > 0) return;
    this.talk.threads = [this.talk.threads[at]];
    this.#showLanes();
    this.save();
    this.parts.box.focus();
  }

  /** Show the request that would be made now in a dialog: as code, or what would become of it. */
  show(dialog) {
    if (!this.#ready()) return;
    const lane = this.lanes[0];
    const nodes = [...path(lane.thread)];
    const text = this.parts.box.value.trim();
    // The last answer is not part of the request that made it.
    if (text || this.files.files.length > 0) nodes.push({ role: "user", text, files: this.files.files });
    else if (nodes.at(-1)?.role === "assistant") nodes.pop();
    if (nodes.length === 0) nodes.push({ role: "user", text: "Hello!", files: [] });
    const settings = this.panel.sent;
    const api = apiOf(settings, lane.operation);
    try {
      dialog.show(api, bodyOf(api, lane.thread.model, settings, nodes));
    } catch (problem) {
      this.say(problem.message);
    }
  }

  // -- what buttons of messages do; `lane` is the number of the view's lane ------------------------------------------------

  /** Answer again, beside the answer that is there. */
  regenerate(at, node) {
    const lane = this.lanes[at];
    if (this.#running.has(lane) || !this.#ready()) return;
    lane.backTo(node.parent);
    this.run(lane);
  }

  /** Say something else instead, in a branch of its own. */
  edit(at, node, text) {
    const lane = this.lanes[at];
    if (this.#running.has(lane) || !this.#ready()) return;
    addNode(lane.thread, node.parent, { role: "user", text: text.trim(), files: node.files ?? [] });
    this.run(lane);
  }

  /** Show another version of a message. */
  choose(at, id) {
    if (this.#running.has(this.lanes[at])) return;
    this.lanes[at].choose(id);
    this.save();
  }

  /** Go on from a message in a new conversation. */
  branch(at, node) {
    const thread = copyBranch(this.lanes[at].thread, node.id);
    const talk = { id: newId(), title: `${this.talk.title} (branch)`, updated: Date.now(), settings: this.panel.kept, threads: [thread] };
    this.stop();
    this.#use(talk);
    history.replaceState(null, "", `#${talk.id}`);
    this.save();
    this.announcer.say("Gone on in a new conversation.");
    this.parts.box.focus();
  }

  /** Send results of functions, and answers to approvals, and let the model go on. */
  answerCalls(at, node, outputs, approvals) {
    const lane = this.lanes[at];
    if (this.#running.has(lane)) return;
    addNode(lane.thread, node.id, { role: "results", outputs, approvals });
    this.run(lane);
  }
}

async function usableModels() {
  const response = await fetch("/v1/models", { credentials: "same-origin", headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`The list of models could not be had (status ${response.status}).`);
  const { data } = await response.json();
  return data.filter((model) => operationOf(model) !== "");
}

async function start() {
  const root = document.getElementById("chat");
  const config = JSON.parse(document.getElementById("chat-config").textContent);
  const asked = new URLSearchParams(location.search);
  try {
    const [models, store] = await Promise.all([usableModels(), TalkStore.open(config.account)]);
    const chat = new Chat(root, config, models, store);
    const wanted = asked.get("model") ?? "";
    const opened = !asked.has("model") && !asked.has("prompt") && location.hash.length > 1 && await chat.open(location.hash.slice(1));
    if (!opened) chat.fresh(models.some((model) => model.id === wanted) ? wanted : config.default_model);
    if (asked.has("prompt")) {
      chat.parts.box.value = asked.get("prompt");
      chat.parts.box.dispatchEvent(new Event("input"));
    }
    if (wanted && chat.lanes[0].thread.model !== wanted) chat.say(`There is no model ${wanted} here; another is chosen.`);
    if (!store.lasting) chat.say("This browser keeps nothing for this page: conversations are gone when it is closed.");
    await chat.list.refresh(chat.talk.id);
    root.dataset.ready = "true";
  } catch (problem) {
    const said = root.querySelector('[data-part="said"]');
    said.textContent = problem.message;
    said.hidden = false;
  }
}

start();
