/**
 * The stream of samples: read with fetch, because EventSource cannot send a token, and begun again when it ends.
 */

/** How the stream is. */
export type Link = "connecting" | "open" | "lost" | "refused";

/** What a reader of the stream is told. */
export interface StreamEvents {
  readonly handleLine: (line: string) => void;
  readonly handleLink: (link: Link) => void;
}

/** Between two tries, in ms: the first and the longest. */
const AGAIN_MS = 1000;
const AGAIN_MS_MAX = 10_000;

/** What a call must carry so that the admin API answers. */
export function fieldsOf(token: string): Record<string, string> {
  return token === "" ? {} : { Authorization: `Bearer ${token}` };
}

/** Reads until the returned function is called. */
export function follow(token: string, { handleLine, handleLink }: StreamEvents): () => void {
  const ending = new AbortController();
  const { signal } = ending;
  const read = async () => {
    for (let waitMs = AGAIN_MS; !signal.aborted; waitMs = Math.min(AGAIN_MS_MAX, waitMs * 2)) {
      try {
        const answer = await fetch("/live", { headers: fieldsOf(token), signal, cache: "no-store" });
        if (answer.status === 401) {
          handleLink("refused");
          return;
        }
        if (answer.ok && answer.body !== null) {
          handleLink("open");
          waitMs = AGAIN_MS;
          await readLines(answer.body, handleLine);
        }
      } catch {
        // The proxy is not there at the moment: said below, and tried again.
      }
      if (signal.aborted) return;
      handleLink("lost");
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  };
  void read();
  return () => ending.abort();
}

async function readLines(body: ReadableStream<Uint8Array>, handleLine: (line: string) => void): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) handleLine(line);
  }
}

/** Takes a target out of use or brings it back; null = done, else what the admin API says against it. */
export function moveTarget(token: string, origin: string, target: string, verb: Verb): Promise<string | null> {
  return post(token, `/targets/${encodeURIComponent(origin)}/${encodeURIComponent(target)}/${verb}`);
}

/** What is purged of the cache. */
export type Scope = "url" | "prefix" | "tag" | "everything";

/** Purges; null = it holds, else what the admin API says against it. */
export function purge(token: string, scope: Scope, name: string): Promise<string | null> {
  return post(token, "/cache/purge", { [scope]: scope === "everything" ? true : name });
}

async function post(token: string, path: string, body?: object): Promise<string | null> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const headers = { ...fieldsOf(token), ...(body === undefined ? {} : { "Content-Type": "application/json" }) };
  try {
    const answer = await fetch(path, { method: "POST", headers, ...sent });
    if (answer.ok) return null;
    const { detail } = (await answer.json()) as { readonly detail?: string };
    return detail ?? `status ${answer.status}`;
  } catch {
    return "The admin API did not answer.";
  }
}

export type Verb = "drain" | "undrain";
