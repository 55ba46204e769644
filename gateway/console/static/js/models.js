// The catalogue's search acts while one types; the address follows, so the view can be shared.

const form = document.querySelector("form.filters");
const input = form.querySelector('input[name="q"]');
const table = document.querySelector("table[data-filtered]");
const shipped = input.value.trim();

// The button is for readers without scripts; a search that came with the page was done by the server.
if (table && !shipped) {
  const rows = [...table.querySelectorAll("tbody tr")];
  const count = document.querySelector("[data-count]");
  const none = document.querySelector("[data-none]");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => row.dataset.words.includes(word));
      shown += !row.hidden;
    }
    count.textContent = shown;
    none.hidden = shown > 0;
    const url = new URL(location);
    if (words.length) url.searchParams.set("q", input.value.trim());
    else url.searchParams.delete("q");
    history.replaceState(null, "", url);
  });
}
