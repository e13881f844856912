// Make a video with OpenAI's Node SDK: start it, ask for it until it is done, download it.
//
//     node examples/sora.mjs http://127.0.0.1:8080/v1
//
// The argument is the base URL (of this proxy in front of Kling, for one). Needs `npm install openai` in a folder above
// this file; newer versions of the SDK want Node 22.

import { createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

import OpenAI from "openai";

const PROMPT = "A paper boat sails down a rainy street, close to the water";
const FILE = "sora.mp4";
const POLL_MILLISECONDS = 5000;

const tell = (text) => console.log(`${new Date().toTimeString().slice(0, 8)} ${text}`);

async function main(baseURL) {
  // The proxy replaces the key with Kling's; the SDK only wants that there is one.
  const client = new OpenAI({ baseURL, apiKey: "any text" });

  tell("create");
  let video = await client.videos.create({ model: "sora-2", prompt: PROMPT, seconds: "4", size: "1280x720" });
  tell(`${video.id}: ${video.status}`);

  while (video.status === "queued" || video.status === "in_progress") {
    await sleep(POLL_MILLISECONDS);
    video = await client.videos.retrieve(video.id);
    tell(`retrieve: ${video.status}, ${video.progress} %`);
  }
  if (video.status !== "completed") {
    tell(`no video: ${video.error?.message ?? "no reason given"}`);
    return 1;
  }

  tell("downloadContent");
  const content = await client.videos.downloadContent(video.id);
  await pipeline(Readable.fromWeb(content.body), createWriteStream(FILE));
  tell(`${FILE}: ${(await stat(FILE)).size} bytes`);
  return 0;
}

if (process.argv.length !== 3) {
  console.error(`usage: ${process.argv[1]} BASE_URL`);
  process.exitCode = 2;
} else {
  try {
    process.exitCode = await main(process.argv[2]);
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    tell(`${error.constructor.name}: ${error.message}`);
    process.exitCode = 1;
  }
}
