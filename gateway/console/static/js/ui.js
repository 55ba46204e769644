// Small things that every page has: theme, copy buttons, remembered languages, times, questions.

const YEAR = 31536000;

function remember(name, value) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `${name}=${encodeURIComponent(value)}; path=/; max-age=${value ? YEAR : 0}; samesite=lax${secure}`;
}

/** Says something to screen readers. */
export function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
}

/** The switch goes from the system's theme to light, dark, and back; the server renders what was chosen. */
export function themeSwitch(root = document) {
  const button = root.querySelector("[data-theme-switch]");
  if (!button) return;
  const html = document.documentElement;
  const label = () => {
    const now = html.dataset.theme || "as the system";
    button.title = `Theme: ${now}`;
    button.querySelector(".sr").textContent = `Theme: ${now}. Change it`;
  };
  label();
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = { "": "light", light: "dark", dark: "" }[html.dataset.theme ?? ""];
    if (next) html.dataset.theme = next;
    else delete html.dataset.theme;
    remember("console_theme", next);
    label();
  });
}

/** Buttons with data-copy copy the code beside them, or what the attribute says. */
export function copyButtons(root = document) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    if (!navigator.clipboard && !document.execCommand) continue;
    button.hidden = false;
  }
}

/** What a copy button copies: what it says itself, or the code beside it. */
function copied(button) {
  return button.dataset.copy || button.parentElement.querySelector("code")?.textContent || "";
}

/** Copies a text, and says so on the button that was pressed. */
export async function copy(button, text = copied(button)) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS there is no clipboard; the old way works from a click.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "sr";
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  say("Copied");
  setTimeout(() => (button.textContent = before), 1500);
}

/** A language chosen in one example is chosen in all, and remembered. */
function chooseLanguage(input) {
  remember("console_code", input.value);
  for (const other of document.querySelectorAll(".tabs > input")) {
    if (other.value === input.value) other.checked = true;
  }
}

const UNITS = [["year", YEAR], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** How long ago, or in how long, in words. seconds: from now, negative for the past. */
export function ago(seconds) {
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.trunc(seconds / size), unit);
}

/** Times become relative; the reader's own zone and UTC stand in the title. */
export function times(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const utc = at.toISOString().replace("T", " ").slice(0, 19);
    time.title = `${at.toLocaleString()} (${utc} UTC)`;
    time.textContent = ago((at - Date.now()) / 1000);
  }
}

/** Asks once. Resolves to whether the answer was yes. act: what the button says. */
export function ask(title, text, act) {
  const dialog = document.querySelector("dialog.ask");
  dialog.querySelector(".ask-title").textContent = title;
  dialog.querySelector(".ask-text").textContent = text;
  dialog.querySelector('[value="yes"]').textContent = act;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }),
  );
}

/** Everything of the above, for what was put into the page just now too. */
export function enhance(root = document) {
  copyButtons(root);
  times(root);
}

/** The listeners, once per page. */
export function start() {
  themeSwitch();
  enhance();
  // On a phone the rail's rows scroll: where one is must be in sight. No scrollIntoView, which moves the page as well.
  for (const here of document.querySelectorAll(".rail [aria-current]")) here.parentElement.scrollLeft = here.offsetLeft - 48;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (button) copy(button);
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches(".tabs > input")) chooseLanguage(event.target);
    // Filters act at once; without scripts their button does it.
    if (event.target.matches("select") && event.target.form?.matches("form[data-auto]")) event.target.form.requestSubmit();
  });
}
