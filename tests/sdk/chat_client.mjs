// Chats with the SDKs of OpenAI and Anthropic, in a process of process.mjs; see chat_client.py, which says the same of them.

import path from "node:path";
import { createRequire } from "node:module";

const from = createRequire(path.join(process.argv[2], "package.json"));
const openai = from("openai");
const anthropic = from("@anthropic-ai/sdk");
const { jsonSchemaOutputFormat } = from("@anthropic-ai/sdk/helpers/json-schema");
const { betaTool } = from("@anthropic-ai/sdk/helpers/beta/json-schema");

const say = [{ role: "user", content: "hi é" }];
const png = "iVBORw0KGgo=";
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const properties = { name: { type: "string" }, age: { type: "integer" } };
const person = { type: "object", properties, required: ["name", "age"], additionalProperties: false };
const options = { apiKey: "sk-of-the-client", maxRetries: 0, timeout: 20000 };
console.warn = () => {}; // of models that will be withdrawn
const sunny = ({ city }) => `sunny in ${city}`;

function kindsOfOpenAI(base_url, model) {
  const chat = new openai.OpenAI({ baseURL: `${base_url}/v1`, ...options }).chat.completions;
  const said = (found) => [
    found.choices[0].message.content, found.usage.prompt_tokens, found.usage.completion_tokens, found.model,
  ];
  const tools = [{ type: "function", function: { name: "weather", parameters: schema } }];
  const withTools = { model, tools, max_completion_tokens: 4000 };
  const loop = async (ask) => {
    const messages = [...say];
    const first = await ask(messages);
    messages.push({ role: "assistant", content: first.content, tool_calls: first.tool_calls });
    const found = first.tool_calls.map((call) => JSON.parse(call.function.arguments));
    first.tool_calls.forEach((call, index) =>
      messages.push({ role: "tool", tool_call_id: call.id, content: sunny(found[index]) }));
    return [first.content, found.map(({ city }) => city), (await ask(messages)).content];
  };
  const created = (more) => async (messages) =>
    (await chat.create({ messages, ...withTools, ...more })).choices[0].message;
  return {
    create: async () => said(await chat.create({ model, messages: say, max_completion_tokens: 100 })),
    stream: async () => {
      const events = chat.stream({ model, messages: say, stream_options: { include_usage: true } });
      let text = "";
      events.on("content", (delta) => (text += delta));
      const found = await events.finalChatCompletion();
      if (text !== found.choices[0].message.content) throw new Error(text);
      return said(found);
    },
    tools: () => loop(created({})),
    stream_tools: () =>
      loop(async (messages) => (await chat.stream({ messages, ...withTools }).finalChatCompletion()).choices[0].message),
    thinking_tools: () => loop(created({ reasoning_effort: "low" })),
    runner: async () => {
      const run = { name: "weather", parameters: schema, description: "", parse: JSON.parse, function: sunny };
      const tools = [{ type: "function", function: run }];
      return chat.runTools({ ...withTools, messages: [...say], tools }).finalContent();
    },
    thinking: async () => {
      const asked = { model, messages: say, reasoning_effort: "low", max_completion_tokens: 4000 };
      const { message } = (await chat.create(asked)).choices[0];
      return [message.reasoning_content, message.content];
    },
    parse: async () => {
      const response_format = { type: "json_schema", json_schema: { name: "person", schema: person, strict: true } };
      const { parsed } = (await chat.parse({ model, messages: say, response_format })).choices[0].message;
      return [parsed.name, parsed.age];
    },
    picture: async () => {
      const part = { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } };
      return (await chat.create({ model, messages: [{ role: "user", content: [part] }] })).choices[0].message.content;
    },
    cancelled: async () => cancelled(await chat.create({ model: "endless", messages: say, stream: true })),
    failure: (status) => chat.create({ model: `fail-${status}`, messages: say }),
  };
}

function kindsOfAnthropic(baseURL, model) {
  const client = new anthropic.Anthropic({ baseURL, ...options });
  const { messages } = client;
  const text = (found) => found.content.filter(({ type }) => type === "text").map((block) => block.text).join("");
  const said = (found) => [text(found), found.usage.input_tokens, found.usage.output_tokens, found.model];
  const withTools = { model, tools: [{ name: "weather", input_schema: schema }], max_tokens: 4000 };
  const loop = async (ask) => {
    const conversation = [...say];
    const first = await ask(conversation);
    const calls = first.content.filter(({ type }) => type === "tool_use");
    const content = calls.map(({ id, input }) => ({ type: "tool_result", tool_use_id: id, content: sunny(input) }));
    conversation.push({ role: "assistant", content: first.content }, { role: "user", content });
    return [text(first), calls.map(({ input }) => input.city), text(await ask(conversation))];
  };
  const thinking = { type: "enabled", budget_tokens: 1024 };
  return {
    create: async () => said(await messages.create({ model, messages: say, max_tokens: 100 })),
    stream: async () => {
      const events = messages.stream({ model, messages: say, max_tokens: 100 });
      let told = "";
      events.on("text", (delta) => (told += delta));
      const found = await events.finalMessage();
      if (told !== text(found)) throw new Error(told);
      return said(found);
    },
    tools: () => loop((conversation) => messages.create({ messages: conversation, ...withTools })),
    stream_tools: () => loop((conversation) => messages.stream({ messages: conversation, ...withTools }).finalMessage()),
    thinking_tools: () => loop((conversation) => messages.create({ messages: conversation, ...withTools, thinking })),
    runner: async () => {
      const tools = [betaTool({ name: "weather", inputSchema: schema, description: "weather", run: sunny })];
      return text(await client.beta.messages.toolRunner({ ...withTools, messages: [...say], tools }));
    },
    thinking: async () => {
      const { content } = await messages.create({ model, messages: say, max_tokens: 4000, thinking });
      return [content[0].thinking, content[1].text];
    },
    parse: async () => {
      const output_config = { format: jsonSchemaOutputFormat(person) };
      const { parsed_output } = await messages.parse({ model, messages: say, max_tokens: 100, output_config });
      return [parsed_output.name, parsed_output.age];
    },
    picture: async () => {
      const source = { type: "base64", media_type: "image/png", data: png };
      const content = [{ type: "image", source }];
      return text(await messages.create({ model, messages: [{ role: "user", content }], max_tokens: 100 }));
    },
    cancelled: async () =>
      cancelled(await messages.create({ model: "endless", messages: say, max_tokens: 100, stream: true })),
    count: async () => (await messages.countTokens({ model, messages: say })).input_tokens > 0,
    failure: (status) => messages.create({ model: `fail-${status}`, messages: say, max_tokens: 100 }),
  };
}

async function cancelled(events) {
  let number = 0;
  for await (const _ of events) if (++number === 4) break;
  return number - 1;
}

async function failed(failure, status) {
  try {
    await failure(status);
  } catch (error) {
    return [error.constructor.name, error.status, error.message.includes(`fails with ${status}`)];
  }
  return [];
}

export async function answer({ sdk, base_url, model }) {
  const { failure, ...kinds } = { openai: kindsOfOpenAI, anthropic: kindsOfAnthropic }[sdk](base_url, model);
  const found = {};
  for (const [name, kind] of Object.entries(kinds)) {
    found[name] = await kind().catch((error) => ({ error: String(error?.stack ?? error) }));
  }
  found.errors = [];
  for (const status of [400, 401, 403, 404, 429, 500]) found.errors.push(await failed(failure, status));
  return found;
}
