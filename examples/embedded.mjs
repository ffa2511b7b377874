/**
 * Millrace inside your own Node.js process: starts a small service and a proxy in front of it, asks it once, prints how
 * often connections were reused, and leaves. Run it with `node examples/embedded.mjs` after `npm run build`.
 */
import { createServer } from "node:http";
import { createMillrace } from "millrace";

const service = createServer((request, response) => response.end(`you asked for ${request.url}\n`));
await new Promise((resolve) => service.listen(0, "127.0.0.1", resolve));

const proxy = createMillrace({
  workers: 1,
  listeners: ["127.0.0.1:0"],
  log: { level: "warn" },
  origins: { service: { targets: `http://127.0.0.1:${service.address().port}` } },
});
const { listeners } = await proxy.start();
for (const path of ["/a", "/b", "/c"]) {
  const answer = await fetch(`http://127.0.0.1:${listeners[0].port}${path}`);
  process.stdout.write(await answer.text());
}
const { origin_requests_new, origin_requests_reused } = proxy.stats().all.counters;
process.stdout.write(`origin connections: ${origin_requests_new} new, ${origin_requests_reused} reused\n`);

await proxy.stop();
service.close();
