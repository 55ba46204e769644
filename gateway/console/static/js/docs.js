// The search in the documentation: the index is fetched once, when the field is first used.

const form = document.querySelector(".docs-search");
const input = form.querySelector("input");
const list = form.querySelector(".docs-found");
const MOST = 12;
let index;

// On narrow screens the list of pages starts closed; without scripts it is open everywhere. A wide window has no button
// for it, so one that was made wide shows it again.
const narrow = matchMedia("(max-width: 800px)");
const fold = () => { document.querySelector(".docs-list").open = !narrow.matches; };
fold();
narrow.addEventListener("change", fold);

function load() {
  index ??= fetch(form.dataset.index)
    .then((response) => (response.ok ? response.json() : []))
    .catch(() => []);
  return index;
}

/** The sections with all words, best first. */
function search(sections, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean).slice(0, 12);
  if (!words.length) return [];
  return sections
    .map(([path, page, heading, text]) => {
      const [p, h, t] = [page.toLowerCase(), heading.toLowerCase(), text.toLowerCase()];
      const points = words.map((word) => 10 * p.includes(word) + 6 * h.includes(word) + t.includes(word));
      const score = points.every(Boolean) ? points.reduce((sum, one) => sum + one, 0) : 0;
      const at = Math.max(0, t.indexOf(words.find((word) => t.includes(word)) ?? "") - 30);
      return { path, page, heading, text: (at ? "... " : "") + text.slice(at, at + 110), score };
    })
    .filter((found) => found.score)
    .sort((a, b) => b.score - a.score)
    .slice(0, MOST);
}

function show(found, query) {
  list.replaceChildren();
  for (const one of found) {
    const link = document.createElement("a");
    link.href = one.path;
    const title = document.createElement("strong");
    title.textContent = one.heading && one.heading !== one.page ? `${one.page}: ${one.heading}` : one.page;
    const text = document.createElement("span");
    text.textContent = one.text;
    link.append(title, text);
    list.append(link);
  }
  if (!found.length) {
    const none = document.createElement("p");
    none.textContent = `No page has all of these words: ${query}`;
    list.append(none);
  }
  list.hidden = false;
}

input.addEventListener("focus", load, { once: true });
input.addEventListener("input", async () => {
  const sections = await load();
  const query = input.value.trim();
  if (query) show(search(sections, query), query);
  else list.hidden = true;
});

// Arrow keys go through what was found, Escape back to the page.
form.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    list.hidden = true;
    input.focus();
  }
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const links = [...list.querySelectorAll("a")];
  if (list.hidden || !links.length) return;
  event.preventDefault();
  const at = links.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
  (at < 0 ? input : links[Math.min(at, links.length - 1)]).focus();
});
document.addEventListener("click", (event) => {
  if (!form.contains(event.target)) list.hidden = true;
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    input.focus();
  }
});
