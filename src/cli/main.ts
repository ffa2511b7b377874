#!/usr/bin/env node
/**
 * The command `millrace`: runs what program.ts declares and leaves with the exit code of the command.
 */
import { CommanderError } from "commander";
import { EXIT, type ExitCode, endWithReader, sayFailure } from "./output.js";
import { declareProgram } from "./program.js";

async function main(): Promise<void> {
  endWithReader();
  let code: ExitCode = EXIT.ok;
  const program = declareProgram((ended) => {
    code = ended;
  });
  try {
    await program.parseAsync(process.argv);
  } catch (thrown) {
    // commander has said its own errors already; help and version end with code 0.
    code = thrown instanceof CommanderError ? (thrown.exitCode === 0 ? EXIT.ok : EXIT.usage) : sayFailure(thrown);
  }
  process.exitCode = code;
}

await main();
