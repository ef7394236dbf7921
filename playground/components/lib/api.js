/** Talking to /play/: one token a browser, errors as sentences, and never a stale answer. */

const KEY = "gmp-token";
const spare = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

/** A random name for this browser, by which its rate is measured. Nothing is stored under it on the server. */
function token() {
  try {
    let value = localStorage.getItem(KEY);
    if (!/^[A-Za-z0-9_-]{16,64}$/.test(value ?? "")) {
      value = spare;
      localStorage.setItem(KEY, value);
    }
    return value;
  } catch {
    return spare; // a browser that forbids storage has another name at each visit
  }
}

/** The server said no, or could not be reached: `message` is a sentence for people. */
export class Refusal extends Error {}

/** Asks `/play/PATH`. Returns the Response; a refusal throws its sentence. */
export async function ask(path, { query = {}, body, signal } = {}) {
  const search = new URLSearchParams(query).toString();
  let response;
  try {
    response = await fetch(`/play/${path}${search ? `?${search}` : ""}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { "X-Playground-Token": token() },
      body,
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The playground does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  throw new Refusal(said?.error ?? `The playground answered with an error (${response.status}).`);
}

/**
 * Runs an asynchronous `work(wanted)` for the newest wanted value: one at a time, and the newest behind it. Values in between
 * are skipped; the last one never is, so what is on the screen is never stale.
 */
export function newest(work, failed = (error) => console.error(error)) {
  let busy = false;
  let waiting = null;
  async function run() {
    busy = true;
    while (waiting) {
      const [value] = waiting;
      waiting = null;
      try {
        await work(value);
      } catch (error) {
        failed(error);
      }
    }
    busy = false;
  }
  return (value) => {
    waiting = [value];
    if (!busy) run();
  };
}

/** Base64 text to bytes. */
export function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** `n` latents of `latent` numbers, then `n` pictures of `dims` bytes. */
export function latentsAndPictures(buffer, latent, dims) {
  const n = buffer.byteLength / (8 * latent + dims);
  const numbers = new Float64Array(buffer.slice(0, 8 * latent * n));
  const z = Array.from({ length: n }, (_, i) => Array.from(numbers.subarray(i * latent, (i + 1) * latent)));
  return { n, z, pixels: new Uint8Array(buffer, 8 * latent * n) };
}

/** Calls `each` with the JSON of every line, as it comes. What ends within a line has broken off: SyntaxError. */
export async function lines(response, each) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const whole = rest.split("\n");
    rest = whole.pop();
    for (const line of whole) if (line) each(JSON.parse(line));
    if (done) break;
  }
  if (rest) JSON.parse(rest);
}
