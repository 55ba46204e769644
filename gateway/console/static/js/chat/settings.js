/** The side panel: what goes along with every message of a conversation. */

import { fill, h } from "./dom.js";
import { operationOf, VOICE } from "./media.js";
import { takes } from "./models.js";
import { DEFAULTS, readFunctions } from "./request.js";

const EFFORTS = ["", "minimal", "low", "medium", "high"];
const SIZES = ["", "1024x1024", "1536x1024", "1024x1536"];
const QUALITIES = ["", "low", "medium", "high"];
const EXAMPLE = `[{
  "name": "get_weather",
  "description": "The weather of a city",
  "parameters": {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"]
  }
}]`;

// name, label, help, least, most, step
const NUMBERS = [
  ["temperature", "Temperature", "0 to 2; higher is freer", 0, 2, 0.1],
  ["top_p", "Top p", "0 to 1", 0, 1, 0.05],
  ["max_tokens", "Most tokens", "of the answer, thoughts included", 1, 1e7, 1],
  ["seed", "Seed", "for answers that repeat", 0, 2 ** 31, 1],
  ["frequency_penalty", "Frequency penalty", "-2 to 2", -2, 2, 0.1],
  ["presence_penalty", "Presence penalty", "-2 to 2", -2, 2, 0.1],
];

let made = 0;

/** A labelled control with help below and a place for a fault. */
function field(label, control, help = "") {
  made += 1;
  control.id = `setting-${made}`;
  const note = h("p", { class: "help", id: `${control.id}-help` }, help);
  control.setAttribute("aria-describedby", note.id);
  const element = h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
  const fault = (text) => {
    element.classList.toggle("wrong", text !== "");
    control.toggleAttribute("aria-invalid", text !== "");
    fill(note, text ? h("strong", { class: "fault" }, text) : help);
  };
  return { element, control, fault };
}

/** config: of the page (`mcp_servers`: labels). changed: called with every change. */
export class SettingsPanel {
  #tokens = new Map(); // MCP server -> what authorises it; in this page only
  #fields = {};
  #settings = { ...DEFAULTS };

  constructor(config, changed) {
    this.config = config;
    this.changed = changed;
    this.element = h("div", { class: "params" });
    this.#build();
  }

  /** Show the settings of a conversation. */
  load(settings) {
    this.#settings = { ...structuredClone(DEFAULTS), ...structuredClone(settings) };
    for (const [name, { control }] of Object.entries(this.#fields)) {
      if (control.type === "checkbox") control.checked = this.#settings[name];
      else control.value = this.#settings[name] ?? "";
    }
    this.#check();
    this.#showServers();
  }

  /** The settings as they are kept: without credentials. */
  get kept() {
    return structuredClone(this.#settings);
  }

  /** The settings as they are sent. */
  get sent() {
    const settings = this.kept;
    for (const server of settings.servers) {
      const token = this.#tokens.get(server.label);
      if (token) server.authorization = token;
    }
    return settings;
  }

  /** Whether all is well; otherwise the first fault has the focus. */
  valid() {
    const wrong = this.#check();
    wrong?.closest("details")?.setAttribute("open", "");
    wrong?.focus();
    return wrong === null;
  }

  /** Tell which settings these models may ignore. */
  showFor(models) {
    this.silent.hidden = models.every((model) => operationOf(model) === "chat");
    for (const [operation, group] of Object.entries(this.media)) {
      group.hidden = !models.some((model) => operationOf(model) === operation);
    }
    for (const [name] of NUMBERS) {
      const parameter = name === "max_tokens" ? "max_tokens" : name;
      const ignored = models.some((model) => !takes(model, parameter));
      this.#fields[name].element.classList.toggle("ignored", ignored);
      this.#fields[name].control.title = ignored ? "This model does not name it among its parameters" : "";
    }
  }

  #set(name, value) {
    this.#settings[name] = value;
    this.#check();
    this.changed();
  }

  #build() {
    const text = (name, label, rows, help, more = {}) => {
      const control = h("textarea", { rows, ...more, oninput: () => this.#set(name, control.value) });
      return (this.#fields[name] = field(label, control, help)).element;
    };
    const choice = (name, label, options, help) => {
      const control = h("select", { onchange: () => this.#set(name, control.value) },
        options.map(([value, shown]) => h("option", { value }, shown)));
      return (this.#fields[name] = field(label, control, help)).element;
    };
    const tick = (name, label) => {
      const control = h("input", { type: "checkbox", onchange: () => this.#set(name, control.checked) });
      this.#fields[name] = { control };
      return h("label", { class: "check" }, control, label);
    };
    this.servers = h("div", { class: "servers" });
    this.silent = h("p", { class: "banner", hidden: true },
      "A model that makes images or audio gets the message alone. What stands below here is for models that talk.");
    const voice = h("input", { type: "text", maxlength: "100", placeholder: VOICE, autocomplete: "off", spellcheck: "false",
      oninput: () => this.#set("voice", voice.value) });
    const own = (values) => values.map((value) => [value, value || "the model's own"]);
    this.media = {
      images: h("div", { class: "pairs" }, choice("image_size", "Size", own(SIZES), "width and height in pixels"),
        choice("image_quality", "Quality", own(QUALITIES), "where the model knows it")),
      speech: h("div", {}, (this.#fields.voice = field("Voice", voice, "one that the model has")).element),
    };
    fill(this.element,
      ...Object.values(this.media),
      this.silent,
      text("system", "System prompt", 4, ""),
      h("details", { class: "group", open: true }, h("summary", {}, "Parameters"),
        h("div", { class: "pairs" }, NUMBERS.map((number) => this.#number(...number)),
          choice("reasoning_effort", "Reasoning effort",
            EFFORTS.map((effort) => [effort, effort || "the model's own"]), "where the model thinks")),
        text("stop", "Stop", 2, "One text per line: the answer ends before it."),
        tick("json", "Answer with a JSON object")),
      h("details", { class: "group" }, h("summary", {}, "Functions"),
        text("functions", "Definitions", 6, "JSON: a list of functions. You answer their calls by hand.",
          { class: "mono", spellcheck: "false", placeholder: EXAMPLE }),
        h("button", { type: "button", class: "button plain small", onclick: () => this.#example() }, "Put in an example"),
        choice("tool_choice", "Choice", [["auto", "the model decides"], ["required", "at least one call"], ["none", "no calls"]], "")),
      h("details", { class: "group" }, h("summary", {}, "Web search and MCP"),
        tick("search", "Search the web"),
        choice("search_size", "Results", [["low", "few"], ["medium", "some"], ["high", "many"]], ""),
        this.servers, this.#addServer()),
      choice("api", "API", [["chat", "Chat completions"], ["responses", "Responses"]],
        "How this page asks; approvals of MCP calls always use Responses."),
      keys());
    this.load(DEFAULTS);
  }

  #number(name, label, help, min, max, step) {
    const control = h("input", { type: "number", min, max, step, inputmode: "decimal", placeholder: "model's own",
      oninput: () => this.#set(name, control.value === "" ? null : Number(control.value)) });
    return (this.#fields[name] = field(label, control, help)).element;
  }

  /** Show every fault; returns the control of the first one, or null. */
  #check() {
    let first = null;
    const tell = (entry, text) => {
      entry.fault(text);
      if (text) first ??= entry.control;
    };
    for (const [name, , , min, max] of NUMBERS) {
      const value = this.#settings[name];
      const bad = this.#fields[name].control.validity.badInput || (value !== null && !(value >= min && value <= max));
      const whole = Number.isInteger(min) && Number.isInteger(value ?? 0);
      const needsWhole = name === "max_tokens" || name === "seed";
      tell(this.#fields[name], bad ? `from ${min} to ${max}` : needsWhole && !whole ? "a whole number" : "");
    }
    try {
      readFunctions(this.#settings.functions);
      tell(this.#fields.functions, "");
    } catch (problem) {
      tell(this.#fields.functions, problem.message);
    }
    return first;
  }

  #example() {
    this.#fields.functions.control.value = EXAMPLE;
    this.#set("functions", EXAMPLE);
  }

  #showServers() {
    const known = this.config.mcp_servers.filter((label) => !this.#settings.servers.some((one) => one.label === label));
    fill(this.servers,
      this.#settings.servers.map((server) => this.#server(server)),
      known.map((label) => h("button", { type: "button", class: "button plain small",
        onclick: () => this.#servers([...this.#settings.servers, { label, url: "", approval: "never" }]) },
      `Use the server ${label}`)));
  }

  #servers(servers) {
    this.#set("servers", servers);
    this.#showServers();
  }

  #server(server) {
    const approval = h("select", { "aria-label": `Approval of calls of ${server.label}`, onchange: () => {
      server.approval = approval.value;
      this.changed();
    } }, h("option", { value: "always" }, "ask me before each call"), h("option", { value: "never" }, "call without asking"));
    approval.value = server.approval;
    return h("div", { class: "server" },
      h("div", { class: "server-head" }, h("strong", {}, server.label), h("button", { type: "button", class: "quiet",
        "aria-label": `Remove ${server.label}`,
        onclick: () => this.#servers(this.#settings.servers.filter((other) => other !== server)) }, "Remove")),
      server.url ? h("code", {}, server.url) : null, approval,
      server.url && !this.#tokens.has(server.label) && server.guarded
        ? h("p", { class: "help" }, "Its token was not kept: remove the server and add it again.") : null);
  }

  #addServer() {
    const label = field("Name", h("input", { type: "text", maxlength: "64", autocomplete: "off" }));
    const url = field("Address", h("input", { type: "url", placeholder: "https://", autocomplete: "off" }));
    const token = field("Authorization", h("input", { type: "password", autocomplete: "off" }),
      "Kept in this page only, until you close it.");
    const add = (event) => {
      event.preventDefault();
      const name = label.control.value.trim();
      const address = url.control.value.trim();
      const taken = this.#settings.servers.some((server) => server.label === name);
      label.fault(!/^[\w-]{1,64}$/.test(name) ? "letters, digits, _ and -" : taken ? "is there already" : "");
      url.fault(/^https?:\/\/[^\s/]+/.test(address) ? "" : "an address that begins with https://");
      if (label.element.matches(".wrong") || url.element.matches(".wrong")) return;
      if (token.control.value) this.#tokens.set(name, token.control.value);
      this.#servers([...this.#settings.servers,
        { label: name, url: address, approval: "always", guarded: token.control.value !== "" }]);
      for (const { control } of [label, url, token]) control.value = "";
    };
    return h("details", { class: "add" }, h("summary", {}, "Add an MCP server by its address"),
      h("form", { autocomplete: "off", novalidate: true, onsubmit: add }, label.element, url.element, token.element,
        h("button", { type: "submit", class: "button plain small" }, "Add server")));
  }
}

function keys() {
  const rows = [["Enter", "send"], ["Shift Enter", "new line"], ["Esc", "stop"], ["Ctrl K", "choose a model"],
    ["Ctrl Shift O", "new conversation"], ["↑ in an empty box", "edit the last message"]];
  return h("details", { class: "group" }, h("summary", {}, "Keyboard"),
    h("dl", { class: "facts" }, rows.map(([key, act]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, act)])));
}
