/**
 * The dashboard in a headless Chromium beside a running proxy: under load, during a failover, with a token, on a phone, in
 * the dark, by keyboard, and as a reader hears it. Wherever it is opened, the browser complains of nothing and asks nobody
 * but the admin API.
 */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { fixed, reply, serve } from "../support/behaviours.js";
import { WITHOUT_BROWSER } from "../support/browser.js";
import { RawOrigin, type Script } from "../support/origin.js";
import { type OpenPage, openDashboard, startBrowser } from "../support/page.js";
import { startHere } from "../support/proxy.js";
import { Scene, type SceneOptions } from "../support/scene.js";
import { PATIENCE_MS, pause } from "../support/wire.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const ADMIN = { address: "127.0.0.1:0" } as const;
const PHONE: BrowserContextOptions = { viewport: { width: 375, height: 800 }, hasTouch: true };
const TEST_MS = 120_000;

let browser: Browser;
let shaky: RawOrigin;
let isBroken = false;
const breaks: Script = serve((_, connection) => (isBroken ? connection.reset() : connection.send(reply(200, "well"))));

before(async () => {
  shaky = await RawOrigin.start(breaks);
  if (WITHOUT_BROWSER === false) browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await shaky.stop();
});

interface Play {
  readonly scene: Scene;
  readonly page: Page;
  readonly open: (options?: BrowserContextOptions) => Promise<OpenPage>;
}

/** A test with a proxy and its page; in the end the browser must have had nothing to complain of. */
function play(
  name: string,
  options: SceneOptions & { page?: BrowserContextOptions },
  act: (play: Play) => Promise<void>,
) {
  test(name, { skip: WITHOUT_BROWSER, timeout: TEST_MS }, async () => {
    const scene = await Scene.open({ workers: 2, settings: { admin: ADMIN }, ...options });
    const opened: OpenPage[] = [];
    const open = async (more?: BrowserContextOptions) => {
      const one = await openDashboard(browser, scene.proxy.started.admin?.port ?? 0, more);
      opened.push(one);
      return one;
    };
    try {
      const { page, complaints, asked } = await open(options.page);
      page.setDefaultTimeout(PATIENCE_MS);
      await act({ scene, page, open });
      assert.deepEqual(complaints, []);
      assert.deepEqual([...asked], [`http://127.0.0.1:${scene.proxy.started.admin?.port}`]);
    } finally {
      for (const one of opened) await one.close();
      await scene.end();
    }
  });
}

/** Asks on and on until the work is done. */
async function underLoad<T>(scene: Scene, work: Promise<T>): Promise<T> {
  let isOver = false;
  const over = work.finally(() => {
    isOver = true;
  });
  const client = await scene.client();
  while (!isOver) {
    await client.ask("GET /");
    await pause(3);
  }
  return over;
}

/** Waits until an expression of the page holds; asked from without, because the page evaluates nothing. */
async function sees(page: Page, expression: string): Promise<void> {
  for (const due = Date.now() + PATIENCE_MS; ; await pause(50)) {
    // What it looks at may not be drawn yet.
    if ((await page.evaluate(expression).catch(() => false)) === true) return;
    if (Date.now() > due) assert.fail(`not seen: ${expression}\n${await page.locator("#page").textContent()}`);
  }
}

/** The text of one element. */
async function textOf(page: Page, selector: string): Promise<string> {
  return (await page.locator(selector).textContent()) ?? "";
}

/** What axe finds against WCAG 2.2 A and AA and its own best practice, in short. */
async function flawsOf(page: Page): Promise<readonly string[]> {
  await page.evaluate(AXE);
  const { violations } = (await page.evaluate("axe.run()")) as {
    readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly html: string }[] }[];
  };
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
}

const figure = (name: string) =>
  `[...document.querySelectorAll(".figures > div")].find((one) => one.firstChild.textContent === "${name}")?.lastChild.textContent`;

play("under load it shows requests, latencies, workers, pools, reuse and the log", {}, async ({ scene, page }) => {
  const shown = async () => {
    await sees(page, `Number.parseFloat(${figure("Requests/s")}) > 10`);
    await sees(page, `${figure("Reused")} === "100.0 %"`);
    await sees(page, `/p99 [\\d.]+ ms/.test(document.querySelector("#latency")?.textContent)`);
    // The heat map has drawn something in the colour of exchanges.
    await sees(
      page,
      `(() => { const c = document.querySelector("canvas.heat"); const d = c.getContext("2d").getImageData(60, 0, c.width - 60, c.height).data; const seen = new Set(); for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 0) seen.add(d[i + 2]); return seen.size > 2; })()`,
    );
    await sees(page, `/^all\\d/.test(document.querySelector("#routes tbody tr")?.textContent)`);
    await sees(page, `document.querySelectorAll("#workers tbody tr").length === 2`);
    await sees(page, `/app 127\\.0\\.0\\.1:\\d+● up/.test(document.querySelector("#origins article")?.textContent)`);
    assert.match(await textOf(page, "#events"), /plan 1: the start/);
    assert.match(await textOf(page, "#certificates"), /No listener speaks TLS/);
    await page.locator("#traffic summary").click();
    await sees(page, `document.querySelectorAll("#traffic tbody tr").length >= 2`);
    assert.match((await page.locator("#traffic .chart").first().getAttribute("aria-label")) ?? "", /\d a second now$/);
  };
  await underLoad(scene, shown());
});

play(
  "a failover is shown: the target that fails, that it came back, and no error of a client",
  {
    settings: (origins) => ({ admin: ADMIN, origins: { app: { targets: [origins["app"]?.url ?? "", shaky.url] } } }),
  },
  async ({ scene, page }) => {
    const shown = async () => {
      await sees(page, `document.querySelectorAll("#origins article .up").length === 2`);
      isBroken = true;
      await sees(page, `document.querySelectorAll("#origins article .down").length === 1`);
      await sees(page, `/up → down/.test(document.querySelector("#events").textContent)`);
      await sees(page, `document.querySelectorAll("#health .timeline .down").length === 1`);
      await sees(page, `/Target 127.0.0.1:\\d+ of app is down/.test(document.querySelector(".unseen").textContent)`);
      assert.equal(await page.evaluate(figure("5xx answers")), "0.0 %");
      isBroken = false;
      await sees(page, `document.querySelectorAll("#origins article .up").length === 2`);
    };
    await underLoad(scene, shown());
  },
);

play(
  "a cache that is used is shown, with the share that comes out of it; one that is not, is not",
  {
    origin: fixed("kept", "Cache-Control: max-age=60"),
    settings: { admin: ADMIN, routes: [{ forwardTo: "app", cache: true }] },
  },
  async ({ scene, page }) => {
    await sees(page, `document.querySelector("#origins article") !== null`);
    assert.equal(await page.locator("#cache").count(), 0);
    const shown = async () => {
      await sees(page, `/Out of the cache(99|100)\\.\\d %/.test(document.querySelector("#cache")?.textContent)`);
      await sees(page, `/Answers held1They weigh/.test(document.querySelector("#cache").textContent)`);
      await sees(page, `document.querySelectorAll("#cache tbody").length === 2`);
      await page.getByLabel("Purge", { exact: true }).selectOption("everything");
      assert.deepEqual(await flawsOf(page), []);
      const before = await scene.counter("origin_requests");
      await page.getByRole("button", { name: "Purge …" }).click();
      await page.locator("dialog button.act").click();
      await sees(page, `document.querySelector(".outcome").textContent === "Purged: everything."`);
      for (const due = Date.now() + PATIENCE_MS; (await scene.counter("origin_requests")) === before; await pause(20)) {
        assert.ok(Date.now() < due, "nothing was asked of the origin after the purge");
      }
    };
    await underLoad(scene, shown());
  },
);

play("a worker that died is among the events", {}, async ({ scene, page }) => {
  await sees(page, `document.querySelector("#events li") !== null`);
  await scene.proxy.provokePanic(1);
  await sees(page, `/worker 1 died and was replaced/.test(document.querySelector("#events").textContent)`);
});

play(
  "on a phone nothing is wider than the screen, and a target is drained and brought back by touch",
  { page: PHONE },
  async ({ scene, page }) => {
    await sees(page, `document.querySelector("#origins article") !== null`);
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 375);
    const small = `[...document.querySelectorAll("button, summary")].map((one) => one.getBoundingClientRect().height).filter((height) => height > 0 && height < 24).length`;
    assert.equal(await page.evaluate(small), 0, "everything to be touched is 24 px high at least");
    await page.locator("#origins article button").tap();
    await page.locator("dialog[open]").waitFor();
    await page.locator("dialog button", { hasText: "Cancel" }).tap();
    assert.equal((await scene.millrace.origins()).origins[0]?.targets[0]?.health.state, "up", "asked, and not done");
    await page.locator("#origins article button").tap();
    await page.locator("dialog button", { hasText: "Drain" }).tap();
    await sees(page, `document.querySelector("#origins article .draining") !== null`);
    await sees(page, `/drains\\.$/.test(document.querySelector(".outcome").textContent)`);
    await page.locator("#origins article button", { hasText: "Bring back" }).tap();
    await page.locator("dialog button", { hasText: "Bring back" }).tap();
    await sees(page, `document.querySelector("#origins article .up") !== null`);
  },
);

for (const colorScheme of ["light", "dark"] as const) {
  play(
    `axe finds nothing against it in the ${colorScheme}: page, tables, dialog; on a screen and on a phone`,
    { page: { colorScheme } },
    async ({ scene, page, open }) => {
      const looked = async () => {
        await sees(page, `document.querySelectorAll("#origins article").length === 1`);
        const ground = String(await page.evaluate("getComputedStyle(document.body).backgroundColor"));
        const brightness = (ground.match(/\d+/g) ?? []).map(Number).reduce((sum, one) => sum + one, 0) / 3;
        assert.equal(brightness < 60, colorScheme === "dark", ground);
        for (const summary of await page.locator("summary").all()) await summary.click();
        await pause(1200);
        assert.deepEqual(await flawsOf(page), []);
        await page.locator("#origins article button").click();
        assert.deepEqual(await flawsOf(page), []);
        const phone = await open({ ...PHONE, colorScheme });
        await sees(phone.page, `document.querySelectorAll("#origins article").length === 1`);
        assert.deepEqual(await flawsOf(phone.page), []);
        assert.deepEqual(phone.complaints, []);
      };
      await underLoad(scene, looked());
    },
  );
}

play("everything can be done by keyboard, and the focus is seen and never lost", {}, async ({ scene, page }) => {
  await sees(page, `document.querySelector("#origins article") !== null`);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate("document.activeElement.textContent"), "To the panels");
  assert.match(String(await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")), /solid/);
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate("document.activeElement.id"), "panels");
  const reach = async (label: string) => {
    for (let presses = 0; presses < 40; presses++) {
      const name = `document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent`;
      if (String(await page.evaluate(name)).startsWith(label)) return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`Tab does not lead to ${label}`);
  };
  await reach("Drain ");
  await page.keyboard.press("Enter");
  await sees(page, `document.activeElement.textContent === "Cancel"`);
  await page.keyboard.press("Escape");
  await sees(page, `document.querySelector("dialog[open]") === null`);
  // The page learns of it a moment later than the window shows it.
  await sees(page, `document.querySelector("#confirm-title").textContent === ""`);
  assert.match(String(await page.evaluate(`document.activeElement.getAttribute("aria-label")`)), /^Drain /);
  assert.equal((await scene.millrace.origins()).origins[0]?.targets[0]?.health.state, "up");
  await page.keyboard.press("Enter");
  await sees(page, `document.activeElement.textContent === "Cancel"`);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await sees(page, `document.querySelector("#origins article .draining") !== null`);
  assert.match(String(await page.evaluate(`document.activeElement.getAttribute("aria-label")`)), /^Bring back /);
});

play("a pause holds the page still, and its end shows what came meanwhile", {}, async ({ scene, page }) => {
  await sees(page, `document.querySelector("#origins article") !== null`);
  await page.getByRole("button", { name: "Pause" }).click();
  const before = await textOf(page, ".facts");
  await scene.proxy.provokePanic(0);
  await scene.sees("client_connections_open", 0);
  await pause(2500);
  assert.equal(await textOf(page, ".facts"), before);
  assert.doesNotMatch(await textOf(page, "#events"), /died/);
  await page.getByRole("button", { name: "Pause" }).click();
  await sees(page, `/worker 0 died/.test(document.querySelector("#events").textContent)`);
});

const TOKEN = "0123456789abcdef";

test("with a token it asks for it once in a tab, keeps it out of addresses, and says when it is wrong", {
  skip: WITHOUT_BROWSER,
  timeout: TEST_MS,
}, async () => {
  const scene = await Scene.open({ settings: { admin: { ...ADMIN, token: TOKEN } } });
  const { page, complaints, close } = await openDashboard(browser, scene.proxy.started.admin?.port ?? 0);
  try {
    page.setDefaultTimeout(PATIENCE_MS);
    await page.getByLabel("Admin token").fill("wrong-wrong-wrong");
    assert.deepEqual(await flawsOf(page), []);
    assert.deepEqual(complaints, []);
    await page.keyboard.press("Enter");
    await page.getByText("This is not the token.").waitFor();
    // Chromium writes every refusal into its console.
    assert.equal(complaints.length, 1, complaints.join());
    await page.getByLabel("Admin token").fill(TOKEN);
    await page.keyboard.press("Enter");
    await sees(page, `document.querySelector("#origins article") !== null`);
    await page.reload();
    await sees(page, `document.querySelector("#origins article") !== null`);
    await page.locator("#origins article button").click();
    await page.locator("dialog button.act").click();
    await sees(page, `document.querySelector("#origins article .draining") !== null`);
    assert.equal(await page.evaluate("location.search + location.hash + document.cookie + localStorage.length"), "0");
    assert.equal(complaints.length, 1, complaints.join());
  } finally {
    await close();
    await scene.end();
  }
});

test("when the proxy is gone the page says so, and goes on when another is there", {
  skip: WITHOUT_BROWSER,
  timeout: TEST_MS,
}, async () => {
  const settings = { listeners: ["127.0.0.1:0"], origins: { app: { targets: "http://127.0.0.1:9" } } };
  const first = await startHere({ ...settings, admin: ADMIN });
  const port = first.started.admin?.port ?? 0;
  const { page, complaints, close } = await openDashboard(browser, port);
  try {
    await sees(page, `document.querySelector("#origins article") !== null`);
    await first.stop(0);
    await page.getByText("no answer, trying again").waitFor();
    await sees(page, `document.querySelector(".unseen").textContent === "The proxy does not answer."`);
    const second = await startHere({ ...settings, admin: { address: `127.0.0.1:${port}` } });
    await page.getByText("● ready").waitFor();
    await close();
    await second.stop(0);
    // What Chromium writes into its console of a connection that is refused is not ours to prevent.
    assert.deepEqual(
      complaints.filter((one) => !one.includes("net::ERR_")),
      [],
    );
  } finally {
    await close();
  }
});
