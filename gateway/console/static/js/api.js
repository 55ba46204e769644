// The JSON API from a page: sends the session's token along, and turns error answers into exceptions.

/** An error answer. status: HTTP; code and param as the API gives them. */
export class ApiError extends Error {
  constructor(status, error) {
    super(error.message || `The gateway answered ${status}.`);
    this.status = status;
    this.code = error.code ?? null;
    this.param = error.param ?? null;
    this.type = error.type ?? null;
  }
}

/** What every request that a page sends carries, e.g. for a fetch() of one's own that streams. */
export function headers(more = {}) {
  const token = document.querySelector('meta[name="csrf"]')?.content;
  return { accept: "application/json", ...(token ? { "x-csrf-token": token } : {}), ...more };
}

/** Throws the ApiError that an answer is, if it is one. */
export async function check(response) {
  if (response.ok) return response;
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // Something between us and the gateway answered; its status says what there is to say.
  }
  throw new ApiError(response.status, error);
}

/** Sends a request and returns the JSON of its answer, null for none. body: a value, sent as JSON. */
export async function call(method, path, body, { signal } = {}) {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: headers({ "content-type": "application/json" }) };
  const response = await check(await fetch(path, { method, credentials: "same-origin", headers: headers(), signal, ...json }));
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}
