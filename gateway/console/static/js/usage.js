// The page of usage: calls are put into the table as they happen, while the reader watches.
import { say, times } from "./ui.js";

const MOST = 200;
const OTHERS = ["images", "characters", "seconds", "searches"];
const button = document.querySelector("[data-live]");
const body = document.querySelector("#calls tbody");
let source = null;

function cell(tag, label, text, className = "") {
  const made = document.createElement(tag);
  if (label) made.dataset.label = label;
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

const number = (value) => value.toLocaleString("en");
const duration = (ms) => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`);

function row(call) {
  const made = document.createElement("tr");
  made.title = call.request_id;
  made.className = "fresh";
  const when = document.createElement("th");
  when.scope = "row";
  const time = document.createElement("time");
  time.dateTime = new Date(call.created * 1000).toISOString();
  when.append(time);
  const status = cell("td", "Status", "");
  const kind = call.status < 400 ? "good" : call.status < 500 ? "warn" : "bad";
  status.append(cell("span", "", call.status, `badge ${kind}`));
  if (call.error) status.append(cell("span", "", call.error.replaceAll("_", " "), "worth wrap"));
  const key = document.querySelector(`input[name="key"][value="${CSS.escape(call.key_id ?? "console")}"]`);
  const out = cell("td", "Tokens out", number(call.completion_tokens), "num");
  const others = OTHERS.filter((name) => call[name]).map((name) => `${number(call[name])} ${name}`);
  if (others.length) out.append(cell("span", "", others.join(", "), "worth"));
  made.append(
    when,
    cell("td", "Model", call.model),
    cell("td", "Key", key?.parentElement.textContent.trim() ?? call.key_id ?? "Console"),
    cell("td", "Tokens in", number(call.prompt_tokens), "num"),
    out,
    cell("td", "Credits", number(call.credits), "num"),
    cell("td", "Time", duration(call.total_ms), "num"),
    status,
  );
  return made;
}

function stop() {
  source?.close();
  source = null;
  button.setAttribute("aria-pressed", "false");
  button.textContent = "Watch live";
}

function begin() {
  source = new EventSource("/account/requests/live");
  source.addEventListener("request", (event) => {
    const made = row(JSON.parse(event.data));
    body.prepend(made);
    times(made);
    while (body.rows.length > MOST) body.lastElementChild.remove();
  });
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) {
      stop();
      say("The live view ended. Load the page again.");
    }
  });
  button.setAttribute("aria-pressed", "true");
  button.textContent = "Stop watching";
  say("Watching live");
}

if (button && body) {
  button.hidden = false;
  button.addEventListener("click", () => (source ? stop() : begin()));
}
