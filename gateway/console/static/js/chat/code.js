/** A request as a program: Python and JavaScript with OpenAI's SDKs, and curl. Pure. */

import { MEDIA } from "./media.js";
import { routeOf } from "./request.js";

const LONGEST_DATA = 60;

// Members that OpenAI's Python SDK has no argument for are passed beside them.
const PYTHON_EXTRA = { chat: new Set(), responses: new Set(["frequency_penalty", "presence_penalty"]) };

/** A copy in which data URLs are cut: what a page shows need not hold megabytes. */
export function shortened(value) {
  if (typeof value === "string") {
    const long = value.length > 2000 && (/^data:[^,]{0,100};base64,/.test(value) || /^[A-Za-z0-9+/=]+$/.test(value));
    return long ? `${value.slice(0, LONGEST_DATA)}... (${value.length} characters)` : value;
  }
  if (Array.isArray(value)) return value.map(shortened);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shortened(member)]));
  }
  return value;
}

/** The body without credentials: what a person copies is shown to others. */
function withoutSecrets(body) {
  if (!body.tools) return body;
  const tools = body.tools.map((tool) => (tool.authorization ? { ...tool, authorization: "YOUR_TOKEN" } : tool));
  return { ...body, tools };
}

/** `{python, javascript, curl}` for a request. base: such as `https://gateway.example`. api: as `apiOf` names it. */
export function programs(base, api, body) {
  const safe = withoutSecrets(body);
  const [inPython, inJavascript] = api in MEDIA ? [pythonMedia, javascriptMedia] : [python, javascript];
  return { python: inPython(base, api, safe), javascript: inJavascript(base, api, safe), curl: curl(base, api, safe) };
}

// Of models that draw or speak: what is called, and what is done with the answer.
const MEDIA_PYTHON = {
  images: ["client.images.generate",
    'with open("image.png", "wb") as file:\n    file.write(base64.b64decode(answer.data[0].b64_json))\n'],
  speech: ["client.audio.speech.create", 'answer.write_to_file("speech.mp3")\n'],
};
const MEDIA_JAVASCRIPT = {
  images: ["client.images.generate", 'fs.writeFileSync("image.png", Buffer.from(answer.data[0].b64_json, "base64"));\n'],
  speech: ["client.audio.speech.create", 'fs.writeFileSync("speech.mp3", Buffer.from(await answer.arrayBuffer()));\n'],
};

function pythonMedia(base, api, body) {
  const [call, end] = MEDIA_PYTHON[api];
  const lines = Object.entries(body).map(([name, value]) => `    ${name}=${pythonValue(value, 1)},`);
  return `${api === "images" ? "import base64\n\n" : ""}${pythonClient(base)}answer = ${call}(\n${lines.join("\n")}\n)\n${end}`;
}

function javascriptMedia(base, api, body) {
  const [call, end] = MEDIA_JAVASCRIPT[api];
  return `import fs from "node:fs";\n${javascriptClient(base)}`
    + `const answer = await ${call}(${JSON.stringify(body, null, 2)});\n${end}`;
}

function pythonClient(base) {
  return `from openai import OpenAI\n\nclient = OpenAI(base_url=${JSON.stringify(`${base}/v1`)}, api_key="YOUR_KEY")\n\n`;
}

function javascriptClient(base) {
  return `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: ${JSON.stringify(`${base}/v1`)}, `
    + `apiKey: "YOUR_KEY" });\n\n`;
}

function python(base, api, body) {
  const call = api === "responses" ? "client.responses.create" : "client.chat.completions.create";
  const extra = Object.entries(body).filter(([name]) => PYTHON_EXTRA[api].has(name));
  const own = Object.entries(body).filter(([name]) => !PYTHON_EXTRA[api].has(name));
  const lines = own.map(([name, value]) => `    ${name}=${pythonValue(value, 1)},`);
  if (extra.length > 0) lines.push(`    extra_body=${pythonValue(Object.fromEntries(extra), 1)},`);
  const loop = api === "responses"
    ? 'for event in stream:\n    if event.type == "response.output_text.delta":\n        print(event.delta, end="", flush=True)'
    : "for chunk in stream:\n    if chunk.choices:\n"
      + '        print(chunk.choices[0].delta.content or "", end="", flush=True)';
  return `${pythonClient(base)}stream = ${call}(\n${lines.join("\n")}\n)\n${loop}\n`;
}

/** A JSON value as Python, indented. */
function pythonValue(value, depth) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return pythonText(value);
  const inner = "    ".repeat(depth + 1);
  const end = "    ".repeat(depth);
  const items = Array.isArray(value)
    ? value.map((item) => pythonValue(item, depth + 1))
    : Object.entries(value).map(([name, member]) => `${pythonText(name)}: ${pythonValue(member, depth + 1)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const flat = `${open}${items.join(", ")}${close}`;
  if (flat.length <= 80 && !flat.includes("\n")) return flat;
  return `${open}\n${items.map((item) => `${inner}${item},`).join("\n")}\n${end}${close}`;
}

/** JSON's escapes are Python's too, but for the halves of a character, which JSON may leave alone. */
function pythonText(value) {
  return typeof value === "string" ? JSON.stringify(value.toWellFormed()) : String(value);
}

function javascript(base, api, body) {
  const call = api === "responses" ? "client.responses.create" : "client.chat.completions.create";
  const loop = api === "responses"
    ? '  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);'
    : '  process.stdout.write(event.choices[0]?.delta?.content ?? "");';
  return `${javascriptClient(base)}const stream = await ${call}(${JSON.stringify(body, null, 2)});\n`
    + `for await (const event of stream) {\n${loop}\n}\n`;
}

function curl(base, api, body) {
  const json = JSON.stringify(body, null, 2).replaceAll("'", "'\"'\"'");
  const into = { images: "", speech: "-o speech.mp3 " }[api] ?? "-N ";
  return `curl ${into}${base}${routeOf(api)} \\\n  -H "Authorization: Bearer YOUR_KEY" \\\n`
    + `  -H "Content-Type: application/json" \\\n  -d '${json}'\n`;
}
