// The page: what the API says, shown as it changes. No library, no build.

const byId = (id) => document.getElementById(id);
const KLING = ["submitting", "in_doubt", "processing"];
const LANES = {
  queued: { states: ["queued"], order: "asc", most: 30 },
  kling: { states: KLING, order: "asc", most: 60 },
  fetching: { states: ["fetching"], order: "asc", most: 30 },
  failed: { states: ["failed"], order: "desc", most: 12 },
};
const WALL = 24;
const RELOAD_SECONDS = 30;
const WORDS = {
  queued: "waiting", submitting: "being sent", in_doubt: "not sure whether Kling has it", processing: "at Kling",
  fetching: "downloading", stored: "stored", failed: "failed", cancelled: "cancelled",
};

const jobs = new Map();      // What is shown, by id.
const rooms = {};            // The list elements of each lane, and of the wall.
let counts = {};
let clockOffset = 0;         // The server's clock less this one's, in seconds.
let models = [];
let source = null;
let opened = "";             // The job in the dialog.

// --- Talking to the API

class Failed extends Error {
  constructor(status, error) {
    super(error.message || `status ${status}`);
    Object.assign(this, { status, error });
  }
}

async function ask(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  const text = await answer.text();
  const document = text ? JSON.parse(text) : {};
  if (answer.ok) return document;
  if (answer.status === 401 && path !== "/session") askForKey();
  throw new Failed(answer.status, document.error || {});
}

// --- Words

const now = () => Date.now() / 1000 + clockOffset;
const number = (value) => String(Math.round(value * 1000) / 1000);
const units = (value) => `${number(value)} ${value === 1 ? "unit" : "units"}`;
const dollars = (value) => `$${value.toFixed(2)}`;

function duration(seconds) {
  if (seconds < 1) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 100) return `${whole} s`;
  if (whole < 600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

function cost(job) {
  if (job.actual_credits === null) return `about ${units(job.estimated_credits)}`;
  return units(job.actual_credits);
}

function laneOf(job) {
  if (job.deleted_at) return "";
  if (job.status === "stored") return "wall";
  return Object.keys(LANES).find((name) => LANES[name].states.includes(job.status)) || "";
}

function how(job) {
  const since = job.ended_at || now();
  if (job.status === "queued") return `waits ${duration(since - job.created_at)} · ${cost(job)}`;
  if (job.status === "failed") return job.error ? job.error.message : "failed";
  if (job.status === "stored") {
    return `${cost(job)} · ${duration(job.ended_at - job.created_at)} · ${job.model.replace("kling-", "")}`;
  }
  const words = job.is_discarded ? "will be thrown away" : WORDS[job.status];
  return `${words} ${duration(since - job.submitted_at)}${job.is_slow ? ", slow" : ""} · ${cost(job)}`;
}

// --- Elements

function element(tag, properties = {}, ...children) {
  const { dataset, ...own } = properties;
  const made = Object.assign(document.createElement(tag), own);
  Object.assign(made.dataset, dataset);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function makeCard() {
  const bar = element("progress", { max: 100, value: 0, ariaLabel: "progress" });
  const button = element("button", { type: "button", className: "card" },
    element("span", { className: "what" }), element("span", { className: "how" }), bar);
  return element("li", {}, button);
}

function fillCard(item, job) {
  const [what, line, bar] = item.firstChild.children;
  setText(what, job.prompt || job.model);
  setText(line, how(job));
  item.firstChild.className = `card ${job.status === "in_doubt" ? "doubt" : job.status}${job.is_slow ? " slow" : ""}`;
  bar.hidden = !KLING.includes(job.status) && job.status !== "fetching";
  bar.value = job.progress;
}

function makeTile(job) {
  const video = element("video", { muted: true, loop: true, playsInline: true, preload: "none", tabIndex: -1 });
  video.src = job.links.content || "";
  const button = element("button", { type: "button" }, video,
    element("span", { className: "what" }), element("span", { className: "how" }));
  const play = () => video.play().catch(() => {});
  button.addEventListener("pointerenter", play);
  button.addEventListener("focus", play);
  for (const name of ["pointerleave", "blur"]) button.addEventListener(name, () => video.pause());
  firstPictures.observe(video);
  return element("li", {}, button);
}

// Only what is in sight is loaded, and of that the first picture.
const firstPictures = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((found) => found.isIntersecting)) {
    entry.target.preload = "metadata";
    firstPictures.unobserve(entry.target);
  }
});

function fillTile(item, job) {
  const [, what, line] = item.firstChild.children;
  setText(what, job.prompt || job.model);
  setText(line, how(job));
  item.firstChild.title = `${job.prompt}\n${new Date(job.ended_at * 1000).toLocaleString()}`;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// --- Drawing: the elements of jobs are kept, so that neither focus nor a playing video is lost

let isDrawing = false;
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    for (const name of Object.keys(rooms)) drawRoom(name);
    byId("empty").hidden = [...jobs.values()].some((job) => !job.deleted_at);
  });
}

function drawRoom(name) {
  const room = rooms[name];
  const isWall = name === "wall";
  const most = isWall ? WALL : LANES[name].most;
  const found = [...jobs.values()].filter((job) => laneOf(job) === name);
  if (name === "queued") found.sort((a, b) => (a.created_at - 600 * a.priority) - (b.created_at - 600 * b.priority));
  else if (isWall || name === "failed") found.sort((a, b) => b.ended_at - a.ended_at);
  else found.sort((a, b) => a.submitted_at - b.submitted_at);
  const shown = found.slice(0, most);
  const kept = new Set(shown.map((job) => job.job_id));
  for (const [id, item] of room.items) {
    if (!kept.has(id)) { item.remove(); room.items.delete(id); }
  }
  shown.forEach((job, place) => {
    let item = room.items.get(job.job_id);
    if (!item) {
      item = isWall ? makeTile(job) : makeCard();
      item.firstChild.dataset.job = job.job_id;
      room.items.set(job.job_id, item);
    }
    if (room.list.children[place] !== item) room.list.insertBefore(item, room.list.children[place] || null);
    (isWall ? fillTile : fillCard)(item, job);
  });
  for (const job of found.slice(most)) jobs.delete(job.job_id);
  const states = isWall ? ["stored"] : LANES[name].states;
  const count = states.reduce((sum, state) => sum + (counts[state] || 0), 0);
  setText(document.querySelector(`[data-count="${isWall ? "stored" : name}"]`), String(count));
  const more = document.querySelector(`[data-more="${name}"]`);
  if (more) {
    more.hidden = count <= shown.length;
    setText(more, `and ${count - shown.length} more`);
  }
}

function drawUsage(usage) {
  clockOffset = usage.now - Date.now() / 1000;
  counts = usage.jobs;
  setText(byId("waiting"), String(usage.jobs.queued));
  setText(byId("oldest"), usage.oldest_waiting_seconds === null ? "–" : duration(usage.oldest_waiting_seconds));
  setText(byId("hour"), String(usage.videos_last_hour));
  const day = usage.budgets.find((budget) => budget.name.startsWith("tenant:") && budget.name.includes(":day:"));
  const limit = day.limit === null ? "" : ` of ${number(day.limit)}`;
  const reserved = day.reserved ? `, ${number(day.reserved)} reserved` : "";
  setText(byId("spent"), `${number(day.spent)}${limit} units (${dollars(day.spent_usd)})${reserved}`);
  const meter = byId("budget");
  meter.hidden = day.limit === null;
  if (day.limit !== null) Object.assign(meter, { max: day.limit || 1, high: day.limit * 0.9, value: day.spent + day.reserved });
}

function drawAccounts(accounts) {
  byId("accounts").replaceChildren(...accounts.map((account) => {
    const learned = Math.max(0, ...account.models.map((model) => model.limit));
    const isPaused = account.pauses.some((pause) => pause.model === null);
    const limit = account.models.length ? learned : account.concurrency;
    const shown = Math.max(account.concurrency, account.running);
    const slots = element("div", { className: "slots", role: "img", ariaLabel: `${account.running} of ${limit} slots in use` });
    for (let slot = 0; slot < Math.min(shown, 60); slot += 1) {
      const kind = slot < account.running ? "held" : slot >= limit || isPaused ? "closed" : "";
      slots.append(element("i", { className: kind }));
    }
    const each = account.models.filter((model) => model.running || model.limit < account.concurrency)
      .map((model) => `${model.model} ${model.running} of ${model.limit}`).join(", ");
    return element("div", { className: "account", title: each },
      element("span", {}, `${account.account}: `), element("b", {}, `${account.running} of ${limit} running${isPaused ? ", paused" : ""}`), slots);
  }));
  const banners = accounts.flatMap((account) => account.pauses.map((pause) => {
    const until = pause.until && pause.until > now() ? ` It is tried again in ${duration(pause.until - now())}.` : "";
    return element("p", { className: "banner", dataset: { reason: pause.reason } },
      element("strong", {}, `${account.account}${pause.model ? `, ${pause.model}` : ""} is paused. `), `${pause.advice}${until}`);
  }));
  byId("banners").replaceChildren(...banners);
}

// --- Loading and listening

async function loadFigures() {
  const [usage, accounts] = await Promise.all([ask("GET", "/api/usage"), ask("GET", "/api/accounts")]);
  drawUsage(usage);
  drawAccounts(accounts.data);
  draw();
}

async function loadAll() {
  const pages = Object.values(LANES).map(({ states, order, most }) =>
    ask("GET", `/api/videos?status=${states.join(",")}&order=${order}&limit=${most}`));
  pages.push(ask("GET", `/api/videos?status=stored&limit=${WALL}`));
  const found = (await Promise.all(pages)).flatMap((page) => page.data);
  const ids = new Set(found.map((job) => job.job_id));
  for (const id of jobs.keys()) if (!ids.has(id)) jobs.delete(id);
  for (const job of found) jobs.set(job.job_id, job);
  await loadFigures();
}

let figuresAreDue = false;
function figuresSoon() {
  if (figuresAreDue) return;
  figuresAreDue = true;
  setTimeout(() => { figuresAreDue = false; loadFigures().catch(() => {}); }, 700);
}

let isStale = false;
function heard(message) {
  const { job } = JSON.parse(message.data);
  const before = jobs.get(job.job_id);
  jobs.set(job.job_id, job);
  if (before && before.status !== job.status) isStale = true;
  figuresSoon();
  draw();
  if (job.job_id === opened && byId("job").open) showJob(job.job_id, true).catch(() => {});
}

function connection(state, words) {
  byId("connection").dataset.state = state;
  setText(byId("connection"), words);
}

function listen() {
  if (source) source.close();
  source = new EventSource("/api/events");
  source.addEventListener("open", () => {
    connection("live", "live");
    loadAll().catch(() => {});
  });
  source.addEventListener("job", heard);
  source.addEventListener("account", figuresSoon);
  source.addEventListener("error", () => {
    connection("away", "not connected, trying again");
    // A browser gives up where it is answered with an error.
    if (source.readyState === EventSource.CLOSED && !byId("enter").open) setTimeout(listen, 3000);
  });
}

// --- A new video

function wanted() {
  const form = new FormData(byId("order"));
  const body = { prompt: form.get("prompt"), model: form.get("model"), duration: Number(form.get("duration")) };
  for (const name of ["mode", "aspect_ratio", "image"]) if (form.get(name)) body[name] = form.get(name);
  if (body.image) delete body.aspect_ratio;
  if (form.get("sound")) body.sound = "on";
  if (form.get("priority") !== "0") body.priority = Number(form.get("priority"));
  return body;
}

function fillChoices() {
  const form = byId("order");
  const model = models.find((found) => found.model === form.elements.model.value) || models[0];
  choose(form.elements.duration, model.durations, 5, (seconds) => `${seconds}`);
  choose(form.elements.mode, model.modes, "std", (mode) => ({ std: "standard, 720p", pro: "professional, 1080p" })[mode] || mode);
  form.elements.sound.disabled = !model.sound_modes.length;
  if (form.elements.sound.disabled) form.elements.sound.checked = false;
}

function choose(select, values, otherwise, words) {
  const before = select.value;
  select.replaceChildren(...values.map((value) => element("option", { value, textContent: words(value) })));
  const known = values.map(String);
  select.value = known.includes(before) ? before : String(known.includes(String(otherwise)) ? otherwise : values[0]);
}

let pricing = 0;
async function price() {
  const body = wanted();
  const mine = (pricing += 1);
  // Without a prompt nothing can be ordered, and yet the price is known.
  if (!body.prompt.trim()) body.prompt = "…";
  try {
    const found = await ask("POST", "/api/videos?dry_run=true", body);
    if (mine === pricing) say(`${units(found.estimated_credits)}, ${dollars(found.estimated_usd)}`);
  } catch (failure) {
    if (mine === pricing) say(failure.message, true);
  }
}

function say(text, isProblem = false) {
  byId("price").classList.toggle("problem", isProblem);
  setText(byId("price"), text);
}

let typing = 0;
function changed(event) {
  if (event.target.name === "model") fillChoices();
  clearTimeout(typing);
  typing = setTimeout(price, event.target.name === "prompt" ? 250 : 0);
}

async function order(event) {
  event.preventDefault();
  const button = byId("order").querySelector("button");
  button.disabled = true;
  // A price that is still to come would take the place of what is said then.
  clearTimeout(typing);
  pricing += 1;
  try {
    const job = await ask("POST", "/api/videos", wanted());
    jobs.set(job.job_id, job);
    byId("prompt").value = "";
    say(`accepted, number ${job.position || 1} in the queue`);
    draw();
    figuresSoon();
  } catch (failure) {
    say(failure.message, true);
  } finally {
    button.disabled = false;
    byId("prompt").focus();
  }
}

// --- One job

// With `again`, what the dialog shows is renewed, unless somebody closes it meanwhile.
async function showJob(id, again = false) {
  opened = id;
  const job = await ask("GET", `/api/videos/${id}`);
  if (opened !== id || (again && !byId("job").open)) return;
  setText(byId("job-title"), job.prompt || job.model);
  const part = (name, tag, properties, ...children) => element(tag, { ...properties, dataset: { part: name } }, ...children);
  const parts = [];
  if (job.links.content) parts.push(part("video", "video", { src: job.links.content, controls: true, loop: true }));
  parts.push(line(job.times));
  parts.push(part("times", "p", { className: "legend" },
    `${WORDS[job.status][0].toUpperCase()}${WORDS[job.status].slice(1)}. Queued ${duration(job.times.queued)}, Kling ${duration(job.times.kling)}, download ${duration(job.times.download)}.`));
  const actual = job.actual_credits === null ? "actual not said yet" : `actual ${units(job.actual_credits)} (${dollars(job.actual_usd)})`;
  parts.push(part("cost", "p", { className: "legend" },
    `Cost: estimated ${units(job.estimated_credits)} (${dollars(job.estimated_usd)}), ${actual}. ${job.model}, ${job.seconds} s.`));
  if (job.error) parts.push(part("error", "p", { className: "error" }, `${job.error.code}: ${job.error.message}`));
  if (job.repeats.length) {
    parts.push(part("repeats-title", "h3", {}, "Why something was repeated"),
      part("repeats", "ul", { className: "history repeats" }, ...job.repeats.map((entry) => row(entry.at, "", entry.reason))));
  }
  parts.push(part("history-title", "h3", {}, "History"), part("history", "ul", { className: "history" },
    ...job.events.map((entry) => row(entry.at, entry.to, entry.reason))));
  if (job.deliveries.length) {
    parts.push(part("webhooks-title", "h3", {}, "Webhooks"), part("webhooks", "ul", { className: "history" }, ...job.deliveries.map((sent) =>
      row(sent.next_at || job.ended_at, sent.status, `${sent.tries} tries${sent.problem ? `, ${sent.problem}` : ""}`))));
  }
  parts.push(acts(job));
  const dialog = byId("job");
  const hadFocus = byId("job-body").contains(document.activeElement);
  renew(byId("job-body"), parts);
  if (!dialog.open) dialog.showModal();
  // What had the focus may be gone, such as the button that cancels.
  else if (hadFocus && !dialog.contains(document.activeElement)) dialog.querySelector(".acts button, form button").focus();
}

// Change what is there into these elements: what stays keeps the focus, its place of scrolling, and plays on.
function renew(box, wanted) {
  const name = (node, place) => node.dataset?.part || `${node.nodeName} ${place}`;
  const before = new Map([...box.childNodes].map((node, place) => [name(node, place), node]));
  const after = wanted.map((node, place) => {
    const known = before.get(name(node, place));
    if (!known || known.nodeName !== node.nodeName) return node;
    before.delete(name(node, place));
    if (known.nodeType === Node.TEXT_NODE) {
      if (known.data !== node.data) known.data = node.data;
      return known;
    }
    for (const { name: attribute } of [...known.attributes]) if (!node.hasAttribute(attribute)) known.removeAttribute(attribute);
    for (const { name: attribute, value } of [...node.attributes]) {
      // The policy forbids the attribute, and not what it stands for.
      if (attribute === "style") known.style.cssText = node.style.cssText;
      else if (known.getAttribute(attribute) !== value) known.setAttribute(attribute, value);
    }
    renew(known, [...node.childNodes]);
    return known;
  });
  for (const node of before.values()) node.remove();
  after.forEach((node, place) => {
    if (box.childNodes[place] !== node) box.insertBefore(node, box.childNodes[place] || null);
  });
}

function line(times) {
  const total = times.queued + times.kling + times.download || 1;
  const bar = element("div", { className: "line", role: "img", ariaLabel: "Where the time went", dataset: { part: "line" } });
  for (const name of ["queued", "kling", "download"]) {
    const part = element("i", { className: name, title: `${name} ${duration(times[name])}` });
    part.style.width = `${(100 * times[name]) / total}%`;
    bar.append(part);
  }
  return bar;
}

function row(at, word, text) {
  const time = element("time", { dateTime: new Date(at * 1000).toISOString() }, new Date(at * 1000).toLocaleTimeString());
  return element("li", {}, time, element("span", {}, word), element("span", {}, text));
}

function acts(job) {
  const box = element("p", { className: "acts", dataset: { part: "acts" } });
  const act = (words, method, path) => {
    box.append(element("button", { type: "button", dataset: { part: `${method} ${path}`, method, path } }, words));
  };
  const base = job.links.self;
  if (job.status === "queued") act("Cancel", "DELETE", base);
  if (job.links.retry) act("Make it again", "POST", job.links.retry);
  if (job.ended_at && !job.deleted_at) act("Delete", "DELETE", base);
  if (job.submitted_at && !job.ended_at && !job.is_discarded) act("Throw the result away", "DELETE", `${base}?discard=true`);
  for (const sent of job.deliveries.filter((found) => found.status !== "waiting")) {
    act("Send the webhook again", "POST", `${base}/deliveries/${sent.id}`);
  }
  if (job.links.content) box.append(element("a", { href: job.links.content, download: `${job.job_id}.mp4`, dataset: { part: "save" } }, "Save the file"));
  return box;
}

async function acted(event) {
  const button = event.target.closest("[data-method]");
  if (!button || button.ariaDisabled === "true") return;
  const id = opened;
  // Not `disabled`, which would take the focus away.
  button.ariaDisabled = "true";
  try {
    const found = await ask(button.dataset.method, button.dataset.path);
    if (found.job_id) {
      jobs.set(found.job_id, found);
      draw();
    }
    if (found.deleted_at) byId("job").close();
    else if (opened === id) await showJob(found.job_id || id, true);
  } catch (failure) {
    button.parentElement?.append(element("span", { className: "error", role: "alert" }, failure.message));
  } finally {
    button.ariaDisabled = null;
  }
}

// --- Keys

function askForKey() {
  connection("away", "a key is needed");
  if (!byId("enter").open) byId("enter").showModal();
}

async function enter(event) {
  event.preventDefault();
  try {
    await ask("POST", "/session", { key: byId("key").value.trim() });
    byId("key").value = "";
    byId("enter").close();
    byId("leave").hidden = false;
    start();
  } catch (failure) {
    setText(byId("key-problem"), failure.message);
  }
}

async function leave() {
  await ask("DELETE", "/session");
  location.reload();
}

// --- Start

async function start() {
  try {
    models = (await ask("GET", "/api/models")).data;
  } catch (failure) {
    if (failure.status !== 401) setTimeout(start, 3000);
    return;
  }
  const select = byId("order").elements.model;
  select.replaceChildren(...models.map((model) => element("option", { value: model.model, textContent: model.model })));
  select.value = models.find((model) => model.is_default).model;
  fillChoices();
  price();
  listen();
}

for (const name of Object.keys(LANES)) rooms[name] = { list: document.querySelector(`[data-lane="${name}"]`), items: new Map() };
rooms.wall = { list: byId("wall"), items: new Map() };
byId("order").addEventListener("input", changed);
byId("order").addEventListener("submit", order);
byId("key-form").addEventListener("submit", enter);
byId("leave").addEventListener("click", leave);
byId("job-body").addEventListener("click", acted);
// `opened` stays: this comes a moment after the closing, when another job may have been asked for.
byId("job").addEventListener("close", () => {
  // It may have been opened again by the time that this is told.
  if (!byId("job").open) byId("job-body").replaceChildren();
});
byId("enter").addEventListener("cancel", (event) => event.preventDefault());
document.querySelector("main").addEventListener("click", (event) => {
  const button = event.target.closest("[data-job]");
  if (button) showJob(button.dataset.job).catch(() => {});
});
// Times pass although nothing happens; and what was not heard is seen all the same.
setInterval(draw, 1000);
setInterval(() => { if (isStale || counts.queued) { isStale = false; loadAll().catch(() => {}); } }, RELOAD_SECONDS * 1000);
start();
