/**
 * `millrace schema`: the JSON Schema of the settings, for editors and other checkers.
 */
import { jsonSchema } from "../config/schema.js";
import { EXIT, type ExitCode, print } from "./output.js";

export function printSchema(): ExitCode {
  print(JSON.stringify(jsonSchema(), null, 2));
  return EXIT.ok;
}
