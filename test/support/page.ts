/**
 * The dashboard in a headless Chromium, as tests and the script of the screenshots hold it: what the browser complains of
 * and whom it asks is kept, so that a test can say that it was nothing and nobody.
 */
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { findProgram } from "./peers.js";
import { WireError } from "./wire.js";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** An open page. */
export interface OpenPage {
  readonly page: Page;
  /** Errors and warnings of its console, exceptions, requests that failed. */
  readonly complaints: readonly string[];
  /** Where it sent requests to: origins. */
  readonly asked: ReadonlySet<string>;
  readonly close: () => Promise<void>;
}

/** Starts a browser; `close` ends it. */
export async function startBrowser(): Promise<Browser> {
  const path = NAMES.map(findProgram).find((found) => found !== undefined);
  if (path === undefined) throw new WireError("chromium is not installed");
  return chromium.launch({ executablePath: path, args: ["--no-sandbox", "--disable-gpu"] });
}

/** Opens a page of an admin API in a tab that knows nothing of others. */
export async function openDashboard(
  browser: Browser,
  port: number,
  options: BrowserContextOptions = {},
): Promise<OpenPage> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints: string[] = [];
  const asked = new Set<string>();
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (thrown) => complaints.push(thrown.message));
  page.on("request", (request) => asked.add(new URL(request.url()).origin));
  await page.goto(`http://127.0.0.1:${port}/`);
  return { page, complaints, asked, close: () => context.close() };
}
