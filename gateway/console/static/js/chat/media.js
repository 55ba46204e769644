/** Models that draw or speak: what they are asked for, and how their answers become blocks of an assistant's node. */

/**
 * What the page asks for besides talk, by the name in a model's `operations`. route: where; body: of the request for the
 * text of a message, with what the settings say of it; read: fills a node with the answer; invites: stands in the empty box; waiting: said until the answer
 * comes; examples: for an empty talk.
 */
export const MEDIA = {
  images: {
    route: "/v1/images/generations",
    body: (model, text, { image_size: size, image_quality: quality }) => ({
      model, prompt: text, ...(size ? { size } : {}), ...(quality ? { quality } : {}),
    }),
    read: readImages,
    invites: "Describe an image",
    waiting: "The image is being made",
    examples: ["A red house by the sea, in watercolours.", "A map of an island that is not there."],
  },
  speech: {
    route: "/v1/audio/speech",
    body: (model, text, { voice }) => ({ model, input: text, voice: voice.trim() || VOICE, response_format: "mp3" }),
    read: readSpeech,
    invites: "Write what shall be spoken",
    waiting: "The text is being spoken",
    examples: ["Good morning. The train to the coast leaves at nine."],
  },
};

/** Who speaks when nobody was named. */
export const VOICE = "alloy";

/** Said where a message with files would go to such a model. */
export const TEXT_ONLY = "A model that makes images or audio takes a text only, without files.";

/** What the page can ask a model for: `chat`, a name of MEDIA, or "" for a model that does none of it. */
export function operationOf(model) {
  return ["chat", ...Object.keys(MEDIA)].find((name) => model.operations.includes(name)) ?? "";
}

/** The request that the last message makes: nothing of what was said before goes along. Throws for what cannot be sent. */
export function mediaBody(operation, model, settings, nodes) {
  const { text, files } = nodes.findLast((node) => node.role === "user");
  if (files?.length) throw new Error(TEXT_ONLY);
  return MEDIA[operation].body(model, text, settings);
}

const BEGINNINGS = [["/9j/", "jpeg"], ["UklGR", "webp"], ["iVBOR", "png"]];

async function readImages(response, node) {
  const told = await response.json();
  for (const image of told.data ?? []) {
    const data = typeof image.b64_json === "string" && /^[A-Za-z0-9+/]+=*$/.test(image.b64_json) ? image.b64_json : "";
    const kind = BEGINNINGS.find(([beginning]) => data.startsWith(beginning))?.[1];
    if (kind) node.blocks.push({ kind: "image", data: `data:image/${kind};base64,${data}`, name: `image.${kind}` });
    else if (typeof image.url === "string") node.blocks.push({ kind: "text", text: `<${image.url}>` });
  }
  if (node.blocks.length === 0) throw new Error("The answer holds no image that this page can show.");
  const { usage } = told;
  if (usage) {
    node.usage = { input: usage.input_tokens ?? 0, output: usage.output_tokens ?? 0, cached: 0, reasoning: 0,
      cost: usage.cost ?? null };
  }
}

async function readSpeech(response, node) {
  const sound = new Blob([await response.arrayBuffer()], { type: "audio/mpeg" });
  const data = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(sound);
  });
  node.blocks.push({ kind: "audio", data, name: "speech.mp3" });
}
