/**
 * `npm run screenshots`: pictures of the dashboard for docs/images, of a proxy of three origins with some minutes of traffic
 * in which a target fails and comes back and a worker dies.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { Agent, createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { BrowserContextOptions } from "playwright-core";
import { createMillrace } from "../../src/index.js";
import { daysFromNow, makeAuthority } from "../../test/support/certificates.js";
import { openDashboard, startBrowser } from "../../test/support/page.js";
import { PROJECT_ROOT } from "../load/machine.js";

const SECONDS = Number(process.argv[2] ?? 190);
const CLIENTS = 48;
/** Requests of a visit; the next one has a connection of its own. */
const VISIT_REQUESTS = 150;
const FOLDER = join(PROJECT_ROOT, "docs", "images");

/** Name, the panel it begins with, and how the page is opened. */
const PICTURES: readonly (readonly [string, string, BrowserContextOptions])[] = [
  ["dashboard", "#page", { viewport: { width: 1240, height: 850 }, colorScheme: "light" }],
  ["dashboard-dark", "#origins", { viewport: { width: 1240, height: 860 }, colorScheme: "dark" }],
  ["dashboard-phone", "#page", { viewport: { width: 375, height: 812 }, colorScheme: "dark" }],
];

let isBroken = false;

/** An origin that answers after a time that is mostly short. */
async function startOrigin(slowMs: number, mayBreak = false): Promise<Server> {
  const server = createServer((asked, answer) => {
    if (mayBreak && isBroken) asked.socket.destroy();
    else setTimeout(() => answer.end("a line of an answer\n".repeat(40)), 1 + Math.random() ** 5 * slowMs);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

/** Asks on and on, now more, now less. */
async function visit(port: number, isOver: () => boolean): Promise<void> {
  let agent = new Agent({ keepAlive: true });
  for (let count = 0; !isOver(); count++) {
    if (count % VISIT_REQUESTS === 0) {
      agent.destroy();
      agent = new Agent({ keepAlive: true });
    }
    const path = ["/shop", "/shop/item", "/api/users", "/static/app.js", "/nothing"][count % 29 === 0 ? 4 : count % 4];
    await new Promise<void>((resolve) => {
      const asking = request({ host: "127.0.0.1", port, path, agent }, (answer) => {
        answer.resume().on("close", resolve);
      });
      asking.on("error", () => resolve()).end();
    });
    await sleep((20 + 14 * Math.sin(Date.now() / 14_000)) * (0.5 + Math.random()));
  }
  agent.destroy();
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-screenshots-"));
  const issued = makeAuthority("Example CA").issue({ names: ["www.example.org"], notAfter: daysFromNow(47) });
  const certificate = issued.writeTo(folder, "www");
  const origins = await Promise.all([startOrigin(60), startOrigin(60, true), startOrigin(300), startOrigin(8)]);
  const [one, two, three, four] = origins.map(urlOf);
  const millrace = createMillrace({
    workers: 2,
    listeners: ["127.0.0.1:0", { name: "secure", address: "127.0.0.1:0", tls: { certificates: [certificate] } }],
    admin: { address: "127.0.0.1:0" },
    origins: {
      shop: { targets: [one ?? "", two ?? ""] },
      api: { targets: [three ?? ""] },
      static: { targets: [four ?? ""] },
    },
    routes: [
      { match: { path: "/api/*" }, forwardTo: "api" },
      { match: { path: "/static/*" }, forwardTo: "static" },
      { match: { path: "/nothing" }, answer: { status: 404, body: "nothing here\n" } },
      { forwardTo: "shop" },
    ],
  });
  const { listeners, admin } = await millrace.start();
  let isOver = false;
  const visits = Array.from({ length: CLIENTS }, () => visit(listeners[0]?.port ?? 0, () => isOver));
  const browser = await startBrowser();
  const pages = [];
  for (const [, , page] of PICTURES) pages.push(await openDashboard(browser, admin?.port ?? 0, page));
  await sleep(SECONDS * 400);
  millrace.provokePanic(1);
  await sleep(SECONDS * 200);
  isBroken = true;
  await sleep(SECONDS * 200);
  isBroken = false;
  await sleep(SECONDS * 200);
  mkdirSync(FOLDER, { recursive: true });
  for (const [at, [name, from]] of PICTURES.entries()) {
    const page = pages[at]?.page;
    // The heading of the page stays at the top of the window, over what is scrolled there.
    await page?.evaluate(`scrollTo(0, document.querySelector("${from}").offsetTop - 64)`);
    await sleep(1500);
    const path = join(FOLDER, `${name}.png`);
    await page?.screenshot({ path });
    console.log(path);
  }
  await browser.close();
  isOver = true;
  await Promise.all(visits);
  await millrace.stop({ deadlineMs: 500 });
  for (const server of origins) server.close().closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
}

await main();
