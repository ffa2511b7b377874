/**
 * Plays the conformance table against another proxy, to see what the table is worth:
 * `node dist/test/conformance/against.js nginx|haproxy [part of a group's name]`. Prints every complaint and the score by level.
 */
import { RawOrigin } from "../support/origin.js";
import { Peer } from "../support/peers.js";
import type { Level } from "./case.js";
import { GROUPS } from "./cases/index.js";
import { type Bench, benchScript, judgeAnswer, judgeRequest } from "./judge.js";
import { TIMERS } from "./settings.js";

async function startPeer(name: string, originPort: number): Promise<Peer> {
  if (name === "haproxy") return Peer.haproxy(originPort, TIMERS.headMs);
  const timers = `client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 2s; client_max_body_size 1m; large_client_header_buffers 4 32k; underscores_in_headers on;`;
  const forward = `proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_read_timeout 2s; proxy_request_buffering off; proxy_buffering off;`;
  return Peer.nginx(
    `${timers} location / { ${forward} }`,
    `upstream origin { server 127.0.0.1:${originPort}; keepalive 16; }`,
  );
}

async function main(name: string, wanted: string): Promise<void> {
  const origin = await RawOrigin.start(benchScript);
  const peer = await startPeer(name, origin.port);
  const bench: Bench = { port: peer.port, origin, patienceMs: 3_000 };
  const score: Record<Level, [number, number]> = { security: [0, 0], must: [0, 0], should: [0, 0] };
  for (const group of GROUPS.filter((one) => one.name.includes(wanted))) {
    for (const row of group.cases) {
      const complaints = row.kind === "request" ? await judgeRequest(row, bench) : await judgeAnswer(row, bench);
      score[row.level][1] += 1;
      if (complaints.length === 0) score[row.level][0] += 1;
      else console.log(`${row.level.padEnd(8)} ${group.name}: ${row.name}\n         ${complaints.join("\n         ")}`);
    }
  }
  await peer.stop();
  await origin.stop();
  for (const [level, [passed, all]] of Object.entries(score)) console.log(`${level}: ${passed} of ${all}`);
}

await main(process.argv[2] ?? "nginx", process.argv[3] ?? "");
