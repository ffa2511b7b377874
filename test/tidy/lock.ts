/**
 * The lock file as the tidy test sees it: `npm ci` refuses one that names a package and has no entry for it, and an npm
 * that writes it on one system may leave out the optional packages of others.
 */

/** One place of `node_modules`. */
interface Entry {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** As much of package-lock.json as is looked at; the package itself is at "". */
export interface Lock {
  readonly packages: Readonly<Record<string, Entry>>;
}

/** Packages that some entry asks for and that stand nowhere it would look. */
export function unlocked({ packages }: Lock): readonly string[] {
  return Object.entries(packages).flatMap(([path, entry]) => {
    const asked = { ...entry.dependencies, ...entry.devDependencies, ...entry.optionalDependencies };
    return Object.keys(asked)
      .filter((name) => !placesFrom(path).some((place) => packages[`${place}node_modules/${name}`] !== undefined))
      .map((name) => `package-lock.json has no entry for ${name}, which ${path || "the package"} asks for`);
  });
}

/** The folders whose `node_modules` a package looks into: its own, and those around it. */
function placesFrom(path: string): readonly string[] {
  const places = ["", ...[...path.matchAll(/\/(?=node_modules\/)/g)].map((found) => path.slice(0, found.index + 1))];
  return path === "" ? places : [...places, `${path}/`];
}
