/** Bodies of any size stream with bounded memory, both ways, whoever is slow. */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { reply, serve } from "../support/behaviours.js";
import { bounded, GROWTH_MAX, MIB } from "../support/bounded.js";
import { bodyDigest, download, settle, upload } from "../support/load.js";
import { RawOrigin } from "../support/origin.js";
import { residentBytes, startApart } from "../support/proxy.js";

const PROXY = { workers: 2, listeners: ["127.0.0.1:0"] };

test("64 MiB to a slow reader arrive whole, and memory stays bounded", { timeout: 60_000 }, () =>
  bounded(PROXY, 0, async (port) => {
    const read = await download(port, 64 * MIB, 1);
    assert.equal(read.bytes, 64 * MIB);
    assert.equal(read.digest, bodyDigest(64 * MIB));
  }),
);

test("64 MiB to a slow origin arrive whole, and memory stays bounded: by length", { timeout: 60_000 }, () =>
  bounded(PROXY, 1, async (port) => {
    assert.deepEqual(await upload(port, 64 * MIB, false), { bytes: 64 * MIB, digest: bodyDigest(64 * MIB) });
  }),
);

test("64 MiB in chunks arrive whole at a fast origin", { timeout: 60_000 }, async () => {
  // The big origin does not read chunks; the scripted one does, strictly.
  const origin = await RawOrigin.start(
    serve((asked, connection) => {
      const digest = createHash("sha256").update(asked.body).digest("hex");
      return connection.send(reply(200, JSON.stringify({ bytes: asked.body.length, digest })));
    }),
    { record: false },
  );
  const proxy = await startApart({
    workers: 1,
    listeners: ["127.0.0.1:0"],
    log: { level: "silent" },
    origins: { app: { targets: [origin.url] } },
  });
  try {
    const port = proxy.started.listeners[0]?.port ?? 0;
    await upload(port, MIB, true);
    await settle();
    const before = residentBytes(proxy.pid);
    assert.deepEqual(await upload(port, 64 * MIB, true), { bytes: 64 * MIB, digest: bodyDigest(64 * MIB) });
    assert.ok(residentBytes(proxy.pid) - before < GROWTH_MAX);
  } finally {
    await proxy.stop();
    await origin.stop();
  }
});

test("twenty slow readers of 16 MiB each share a bounded memory", { timeout: 90_000 }, () =>
  bounded(PROXY, 0, async (port) => {
    const reads = await Promise.all(Array.from({ length: 20 }, () => download(port, 16 * MIB, 2)));
    for (const read of reads) assert.equal(read.digest, bodyDigest(16 * MIB));
  }),
);

test("sizes around every buffer's edge arrive whole, both ways", { timeout: 60_000 }, () =>
  bounded(PROXY, 0, async (port) => {
    for (const edge of [1, 4_096, 16_384, 65_536, 131_072, 262_144, 524_288]) {
      for (const size of [edge - 1, edge, edge + 1]) {
        assert.equal((await download(port, size)).digest, bodyDigest(size), `download of ${size}`);
        assert.equal((await upload(port, size, false)).digest, bodyDigest(size), `upload of ${size}`);
      }
    }
  }),
);
