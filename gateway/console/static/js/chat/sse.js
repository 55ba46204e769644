/** Server-sent events out of a response's body (WHATWG HTML, "parsing an event stream"). */

/** Splits pieces of text into the data of events. */
class EventSplitter {
  #rest = "";
  #data = [];

  /** Take a piece; returns the data of the events that are complete now. */
  feed(piece) {
    const found = [];
    this.#rest += piece;
    let end;
    while ((end = /\r\n|\n|\r(?!$)/.exec(this.#rest)) !== null) {
      const line = this.#rest.slice(0, end.index);
      this.#rest = this.#rest.slice(end.index + end[0].length);
      if (line === "") {
        if (this.#data.length > 0) found.push(this.#data.join("\n"));
        this.#data = [];
      } else if (line.startsWith("data:")) {
        this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
    return found;
  }
}

/** The data of each event of a fetch response, as they arrive. */
export async function* eventsOf(response) {
  const splitter = new EventSplitter();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* splitter.feed(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
