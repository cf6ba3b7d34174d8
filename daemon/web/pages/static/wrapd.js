// Live updates: events say that something changed; the page is then read again, and what differs is replaced in its
// place, on the same nodes. All else works without this.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const secure = location.protocol === "https:" ? "; secure" : "";
if (zone) document.cookie = `wrapd_zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax${secure}`;

for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  try { await navigator.clipboard.writeText(field.value); } catch { document.execCommand("copy"); }
  button.textContent = button.dataset.copied;
});

const live = document.getElementById("live"), main = document.getElementById("main");
const PACE = 2000, EACH = 60000, SAID = 10000, AGAIN = 10000;
const said = document.getElementById("said"), state = document.getElementById("stream");
let stream, timer, last = 0, wanted = false, busy = false, paused = false, count = 0, saidAt = 0;

// A form's token differs each time; nothing else of a node does unless it changed.
const plain = (node) => node.outerHTML.replace(/name="csrf" value="[^"]*"/g, "").replace(/ class="fresh"| fresh"|(?<=<details[^>]*) open=""/g, "");

function replace(old, made) {
  if (plain(old) === plain(made)) return;
  const focus = document.activeElement, inside = old.contains(focus);
  if (inside && focus.matches("input:not([type=checkbox]), select, textarea")) return; // somebody is writing there
  const at = inside ? [...old.querySelectorAll("a, button, summary, input")].indexOf(focus) : -1;
  for (const box of old.querySelectorAll("[name=job]:checked")) for (const twin of made.querySelectorAll("[name=job]")) twin.checked ||= twin.value === box.value;
  for (const open of old.querySelectorAll("details[open]")) made.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  for (const { name, value } of made.attributes) old.setAttribute(name, value);
  old.replaceChildren(...made.childNodes);
  if (at >= 0) [...old.querySelectorAll("a, button, summary, input")][at]?.focus({ preventScroll: true });
  if (old.dataset.key === "as-of") return;
  old.classList.add("fresh");
  setTimeout(() => old.classList.remove("fresh"), 1500);
  count += 1;
}

function update(made) {
  const size = made.querySelectorAll("main [data-key], main [data-list]").length; // new rows are moved out of it
  for (const list of document.querySelectorAll("[data-list]")) {
    const other = made.querySelector(`[data-list="${list.dataset.list}"]`);
    if (!other) return location.reload();
    const known = new Map([...list.children].map((node) => [node.dataset.key, node]));
    let place = list.firstElementChild;
    for (const node of [...other.children]) {
      const old = known.get(node.dataset.key);
      known.delete(node.dataset.key);
      if (old && old === place) place = place.nextElementSibling;
      else list.insertBefore(old ?? node, place);
      if (old) replace(old, node); else count += 1;
    }
    for (const gone of known.values()) gone.remove();
  }
  for (const old of document.querySelectorAll("[data-key]")) {
    const node = old.isConnected && !old.closest("[data-list]") && made.querySelector(`[data-key="${CSS.escape(old.dataset.key)}"]`);
    if (node) replace(old, node);
  }
  if (size !== document.querySelectorAll("main [data-key], main [data-list]").length) location.reload();
  document.title = made.title;
  live.dataset.after = made.getElementById("live").dataset.after;
}

async function read() {
  wanted = false;
  busy = true;
  last = Date.now();
  try {
    const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
    if (answer.redirected) return location.reload(); // the session has ended
    if (answer.ok) update(new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (count && Date.now() - saidAt >= SAID) {
      said.textContent = live.dataset.changes.replace("{n}", count);
      [saidAt, count] = [Date.now(), 0];
    }
  } catch { /* the stream says that it is down */ }
  busy = false;
  if (wanted) soon();
}

function soon() {
  wanted = true;
  if (busy || paused || document.hidden || timer) return;
  timer = setTimeout(() => { timer = undefined; read(); }, Math.max(50, last + PACE - Date.now()));
}

function concerns(event) {
  const data = JSON.parse(event.data || "{}");
  if (event.type === "job" && main.dataset.job) return data.job_id === main.dataset.job && data.project === main.dataset.project;
  if (event.type === "delivery" && main.dataset.job) return document.getElementById(`delivery-${data.id}`) !== null;
  return true;
}

function connect() {
  // What changed since the page was read comes first. When the browser connects again, it names the last event.
  stream = new EventSource(`/api/v1/events?after=${live.dataset.after}`);
  stream.onopen = () => { state.textContent = `· ${live.dataset.live}`; };
  stream.onerror = () => {
    if (paused) return;
    state.textContent = `· ${live.dataset.reconnecting}`;
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => { connect(); soon(); }, AGAIN);
  };
  for (const name of main.dataset.events.split(" ")) stream.addEventListener(name, (event) => { if (concerns(event)) soon(); });
}

if (live && main.dataset.events) {
  connect();
  setInterval(soon, EACH);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => { if (event.persisted) { connect(); soon(); } });
  const button = document.getElementById("pause");
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? live.dataset.go : live.dataset.pause;
    if (paused) { stream.close(); state.textContent = `· ${live.dataset.paused}`; } else { connect(); soon(); }
  });
}
