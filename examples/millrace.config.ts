/**
 * A settings file with one of everything: two origins, routes by host, path, method and header, edits of header fields,
 * a fixed answer and a redirect. Check it with `millrace check -c examples/millrace.config.ts --offline`.
 */
import { defineConfig } from "millrace";

export default defineConfig({
  name: "edge-1",
  workers: "auto",
  listeners: ["127.0.0.1:8080", { name: "six", address: "[::1]:8080" }],
  limits: { requestBodyBytes: 100 * 1024 * 1024 },
  forwarding: { trustedProxies: ["10.0.0.0/8"] },
  accessLog: { to: "stdout" },
  admin: { address: "127.0.0.1:9901", metrics: { targetsMax: 100 } },
  origins: {
    app: {
      targets: [
        { address: "http://127.0.0.1:9000", weight: 3 },
        { address: "http://127.0.0.1:9001", weight: 1 },
      ],
    },
    files: { targets: "http://127.0.0.1:9100", host: "target", firstByteMs: 5_000 },
  },
  routes: [
    { name: "old name", match: { host: "old.example.org" }, redirect: { to: "https://www.example.org{path}" } },
    { name: "health", match: { path: "/healthz", method: ["GET", "HEAD"] }, answer: { body: "ok\n" } },
    {
      name: "files",
      match: { path: "/static/*" },
      forwardTo: "files",
      rewrite: { prefix: "/" },
      responseHeaders: { set: { "Cache-Control": "public, max-age=3600" }, remove: ["Set-Cookie"] },
    },
    {
      name: "beta",
      match: { host: "*.example.org", path: "/api/*", header: { "X-Beta": "1" } },
      forwardTo: "app",
      rewrite: { prefix: "/v2" },
      requestHeaders: { set: { "X-Edge": "edge-1" } },
    },
    { name: "everything else", forwardTo: "app" },
  ],
});
