/** Files that go along with a message: read here, kept with the conversation, sent as the API wants them. */

import { bytes, h } from "./dom.js";

const MOST = 12;
const LARGEST = 12e6;
const LARGEST_TEXT = 400_000;
const IMAGES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const AUDIO = { "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3" };
const TEXT = /\.(txt|md|markdown|csv|tsv|json|jsonl|ya?ml|toml|ini|xml|html?|css|scss|[cm]?[jt]sx?|py|rb|rs|go|java|kt|c|h|cc|cpp|hpp|cs|php|swift|sh|sql|log|diff|patch|tex|env|cfg|conf)$/i;

/** What a file dialog offers. */
export const ACCEPT = "image/png,image/jpeg,image/gif,image/webp,application/pdf,audio/wav,audio/mpeg,text/*,.md,.csv,"
  + ".json,.yaml,.yml,.toml,.py,.js,.ts,.rs,.go,.java,.c,.cpp,.sh,.sql,.log,.diff";

/** Which kind of attachment a file makes, null for one that no model could read. */
function kindOf(file) {
  if (IMAGES.has(file.type)) return "image";
  if (file.type === "application/pdf") return "file";
  if (Object.hasOwn(AUDIO, file.type)) return "audio";
  return file.type.startsWith("text/") || TEXT.test(file.name) ? "text" : null;
}

function read(file, how) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader[how](file);
  });
}

/** The attachment that a file makes. Throws an Error that says what is wrong with it. */
export async function attach(file) {
  const kind = kindOf(file);
  const name = file.name || "file";
  if (kind === null) throw new Error(`${name}: only pictures, PDF, WAV or MP3, and text can be sent.`);
  if (file.size > LARGEST) throw new Error(`${name} has ${bytes(file.size)}; at most ${bytes(LARGEST)} can be sent.`);
  const made = { kind, name, size: file.size, type: file.type };
  if (kind === "text") {
    made.text = await read(file, "readAsText");
    if (made.text.length > LARGEST_TEXT) throw new Error(`${name} is longer than ${LARGEST_TEXT} characters.`);
    return made;
  }
  made.data = await read(file, "readAsDataURL");
  if (kind === "audio") made.format = AUDIO[file.type];
  return made;
}

/** The files of the message that is being written, shown as chips. say: told of problems. */
export class Attachments {
  files = [];

  constructor(say) {
    this.say = say;
    this.element = h("ul", { class: "attachments", "aria-label": "Files to send", hidden: true });
  }

  /** Take files from a dialog, a drop or the clipboard. */
  async add(list) {
    // The list of a dialog or a drop is emptied once its event is over.
    for (const file of [...list]) {
      if (this.files.length >= MOST) {
        this.say(`At most ${MOST} files go with one message.`);
        break;
      }
      try {
        this.files.push(await attach(file));
      } catch (problem) {
        this.say(problem.message);
      }
    }
    this.#show();
  }

  /** Put files in that an edited message had. */
  set(files) {
    this.files = [...files];
    this.#show();
  }

  /** The files, which are then gone from here. */
  take() {
    const { files } = this;
    this.set([]);
    return files;
  }

  #show() {
    this.element.hidden = this.files.length === 0;
    this.element.replaceChildren(...this.files.map((file) => h("li", { class: "attachment" }, preview(file),
      h("button", { type: "button", class: "quiet", "aria-label": `Remove ${file.name}`, onclick: () => {
        this.files = this.files.filter((other) => other !== file);
        this.#show();
      } }, "×"))));
  }
}

/** A file as it stands in a message: a small picture, or its name. */
export function preview(file) {
  if (file.kind === "image") return h("img", { src: file.data, alt: file.name, title: file.name, class: "thumb" });
  return h("span", { class: "filename", title: file.name }, `${file.name} · ${bytes(file.size)}`);
}
