#!/usr/bin/env node
/**
 * Makes the packages that are published, as tarballs in a folder (else dist/packages): one for each platform whose native
 * core lies in native-bindings/, and Millrace itself, which names them as optional dependencies of exactly its version.
 * They are named at this moment only: a name that nobody has published yet must not stand where npm could fetch it.
 * Plain JavaScript without dependencies; what it packs must be built.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BUILT = /^millrace\.(linux)-(x64|arm64)-(gnu|musl)\.node$/;
/** npm's word for a C library. */
const LIBC = { gnu: "glibc", musl: "musl" };

/** Packs a folder into `out`, without scripts; the path of the tarball. */
function pack(folder, out) {
  const run = spawnSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", out], {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (run.status !== 0) {
    process.stderr.write(`millrace: npm could not pack ${folder}\n`);
    process.exit(1);
  }
  return join(out, JSON.parse(run.stdout)[0].filename);
}

/** The package of one platform: the native core, and on what it may be installed. */
function packPlatform(own, file, out, scratch) {
  const [, os, cpu, libc] = BUILT.exec(file);
  const platform = `${os}-${cpu}-${libc}`;
  const folder = join(scratch, platform);
  mkdirSync(folder);
  const manifest = {
    name: `@millrace/${platform}`,
    version: own.version,
    description: `The native core of Millrace for ${platform}.`,
    license: own.license,
    os: [os],
    cpu: [cpu],
    libc: [LIBC[libc]],
    engines: own.engines,
    type: "commonjs",
    main: "millrace.node",
    files: ["millrace.node"],
  };
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  writeFileSync(
    join(folder, "README.md"),
    `# ${manifest.name}\n\n${manifest.description} Installed with \`millrace\`.\n`,
  );
  copyFileSync(join(ROOT, "native-bindings", file), join(folder, "millrace.node"));
  copyFileSync(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
  return { name: manifest.name, tarball: pack(folder, out) };
}

/** Millrace itself: what `files` of package.json has, with another package.json. */
function packSelf(own, platforms, out, scratch) {
  const tarball = pack(ROOT, scratch);
  const run = spawnSync("tar", ["-xzf", tarball, "-C", scratch], { stdio: "inherit" });
  if (run.status !== 0) process.exit(1);
  rmSync(tarball);
  const folder = join(scratch, "package");
  const { scripts: _, devDependencies: __, allowScripts: ___, ...published } = own;
  const optionalDependencies = Object.fromEntries(platforms.map(({ name }) => [name, own.version]));
  const manifest = { ...published, optionalDependencies };
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  return { name: own.name, tarball: pack(folder, out) };
}

function main() {
  const out = resolve(process.argv[2] ?? join(ROOT, "dist", "packages"));
  mkdirSync(out, { recursive: true });
  const scratch = mkdtempSync(join(tmpdir(), "millrace-pack-"));
  try {
    const own = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    const files = readdirSync(join(ROOT, "native-bindings")).filter((file) => BUILT.test(file));
    if (files.length === 0) {
      process.stderr.write('millrace: there is no native core to pack; run "npm run build" first.\n');
      process.exit(1);
    }
    const platforms = files.map((file) => packPlatform(own, file, out, scratch));
    const all = [...platforms, packSelf(own, platforms, out, scratch)];
    for (const { name, tarball } of all) process.stdout.write(`${name} ${tarball}\n`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

main();
