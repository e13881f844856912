// A process with the SDKs of the folder in its first argument: runs scripts beside this file, by questions on JSON lines.
// A question is {script, question}; the reply is what the script's `answer` returns.

import readline from "node:readline";

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { script, question } = JSON.parse(line);
  const { answer } = await import(`./${script}.mjs`);
  process.stdout.write(JSON.stringify(await answer(question)) + "\n");
}
