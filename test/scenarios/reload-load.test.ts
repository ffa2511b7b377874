/**
 * Reloads under load: whatever changes, no request of any kind of client fails, and what stays open lives through it.
 * `npm run soak:reload` does the same at length, and looks at memory.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { reloadUnderLoad } from "../support/reloads.js";

const RELOADS = 250;

test(`no request fails during ${RELOADS} reloads, and a WebSocket and a stream of HTTP/2 live through them`, async () => {
  const { answered, wrong, echoes, pieces } = await reloadUnderLoad(RELOADS);
  assert.deepEqual(wrong, []);
  const kinds = ["fresh", "http/2", "kept", "other", "post", "tls", "tls fresh"];
  assert.deepEqual(Object.keys(answered).toSorted(), kinds);
  for (const kind of kinds) assert.ok((answered[kind] ?? 0) > RELOADS / 10, `${kind}: ${answered[kind]} requests`);
  assert.ok(echoes > 20, `the WebSocket echoed ${echoes} messages`);
  assert.ok(pieces > 20, `the stream had ${pieces} pieces`);
});
