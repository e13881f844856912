// All kinds of requests to OpenAI's API with its SDK, in a process of process.mjs; see compatible_client.py.

import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const { APIError, OpenAI } = createRequire(path.join(process.argv[2], "package.json"))("openai");

const messages = [{ role: "user", content: "hi é" }];
const model = "gpt-x";
const tool = { type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } };
const schema = { type: "json_schema", json_schema: { name: "person", schema: { type: "object" } } };

async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}

function kinds(client, file) {
  const chat = client.chat.completions;
  return {
    chat: async () => (await chat.create({ model, messages, temperature: 0 })).choices[0].message.content,
    stream: async () => {
      const chunks = await all(await chat.create({ model, messages, stream: true }));
      const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
      const last = chunks.at(-1);
      return [text, last.usage.total_tokens, last.choices.length];
    },
    tools: async () => {
      const found = (await chat.create({ model, messages, tools: [tool] })).choices[0];
      const call = found.message.tool_calls[0];
      return [found.finish_reason, found.message.content, JSON.parse(call.function.arguments)];
    },
    parse: async () => {
      const found = await chat.parse({ model, messages, response_format: schema });
      const person = JSON.parse(found.choices[0].message.content);
      return [person.name, person.age];
    },
    responses: async () => (await client.responses.create({ model, input: "hi" })).output_text,
    "responses-stream": async () =>
      (await all(await client.responses.create({ model, input: "hi", stream: true }))).map((event) => event.type),
    embeddings: async () => (await client.embeddings.create({ model, input: "hi" })).data[0].embedding,
    images: async () => (await client.images.generate({ model, prompt: "a cat" })).data[0].b64_json,
    transcription: async () =>
      (await client.audio.transcriptions.create({ model, file: fs.createReadStream(file) })).text,
    files: async () => {
      const made = await client.files.create({ file: fs.createReadStream(file), purpose: "batch" });
      const listed = (await all(client.files.list({ purpose: "batch", limit: 2 }))).map((one) => one.id);
      const content = await (await client.files.content(made.id)).text();
      const again = await client.files.retrieve(made.id);
      return [made.id, listed, content, again.id, (await client.files.delete(made.id)).deleted];
    },
    batches: async () => {
      const window = { endpoint: "/v1/chat/completions", completion_window: "24h" };
      const made = await client.batches.create({ input_file_id: "file-1", ...window });
      const gone = await client.batches.cancel(made.id);
      return [made.status, gone.status, (await all(client.batches.list())).map((one) => one.id)];
    },
    models: async () => (await all(client.models.list())).map((one) => one.id),
    model: async () => (await client.models.retrieve("m-1")).id,
    errors: async () => {
      const found = [];
      for (const status of [400, 401, 404, 422]) {
        try {
          await chat.create({ model: `fail-${status}`, messages });
        } catch (error) {
          found.push([error.constructor.name, error.status, error.code, error.param]);
        }
      }
      return found;
    },
    retry: async () => {
      const options = { maxRetries: 2, query: { sdk: "node" } };
      return (await chat.create({ model: "flaky", messages }, options)).choices[0].message.content;
    },
    timeout: async () => {
      try {
        await chat.create({ model: "slow", messages }, { timeout: 300 });
      } catch (error) {
        return error.constructor.name.replace("APIConnectionTimeoutError", "APITimeoutError");
      }
      return "answered";
    },
    cancelled: async () => {
      const events = await chat.create({ model: "endless", messages, stream: true });
      let number = 0;
      for await (const _ of events) if (++number === 3) break;
      return 2;
    },
  };
}

async function outcome(kind) {
  try {
    return await kind();
  } catch (error) {
    return error instanceof APIError && error.status
      ? { status: error.status, code: error.code }
      : { error: String(error?.stack ?? error) };
  }
}

export async function answer(question) {
  const options = { apiKey: "sk-of-the-client", organization: "org-of-the-client", maxRetries: 0, timeout: 20000 };
  const client = new OpenAI({ baseURL: question.base_url, ...options });
  const found = {};
  for (const [name, kind] of Object.entries(kinds(client, question.file))) found[name] = await outcome(kind);
  return found;
}
