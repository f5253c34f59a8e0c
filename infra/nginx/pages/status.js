// A read-only view of a server: its steps, addresses, records, reputation and the evidence for them.
// The access token lives in this module's memory alone; nothing is kept in the browser.

const GOOD = new Set(["ok", "true", "verified", "ready", "clean", "live", "active", "assigned"]);
const BAD = new Set(["failed", "false", "stalled", "wrong", "missing", "conflict", "listed", "burned"]);
const REFRESH_MS = 4000;

let token = null;
let current = null;

const element = (name, attributes = {}, ...children) => {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children.map((child) => (child instanceof Node ? child : String(child ?? ""))));
  return made;
};

const mark = (state) => {
  const text = String(state);
  const kind = GOOD.has(text) ? "ok" : BAD.has(text) ? "bad" : "wait";
  return element("span", { className: `mark ${kind}` }, text);
};

async function api(path, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) signOut();
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail ?? `HTTP ${answer.status}`);
  return answer.json();
}

// What a part of the page shows when its source does not answer: the reason, never an empty table.
const attempt = (promise) => promise.catch((error) => ({ problem: error.message }));

function table(title, columns, rows, problem) {
  const section = element("section", {}, element("h3", {}, title));
  if (problem) section.append(element("p", { className: "empty" }, `Not available now: ${problem}`));
  else if (!rows.length) section.append(element("p", { className: "empty" }, "Nothing yet."));
  else {
    const head = element("tr", {}, ...columns.map((column) => element("th", { scope: "col" }, column)));
    const body = rows.map((cells) =>
      element("tr", {}, ...cells.map((cell) =>
        cell instanceof Node ? element("td", {}, cell) : element("td", { className: "value" }, cell))));
    section.append(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
  }
  return section;
}

const seconds = (from, to) => (from && to ? `${((new Date(to) - new Date(from)) / 1000).toFixed(1)} s` : "");

async function show({ workspace, server }) {
  const base = `/v1/workspaces/${workspace}`;
  const [view, jobs, names, reputation] = await Promise.all([
    api(`${base}/servers/${server}`),
    attempt(api(`${base}/servers/${server}/jobs`)),
    attempt(api(`${base}/servers/${server}/names`)),
    attempt(api(`${base}/servers/${server}/reputation`)),
  ]);
  const rows = view.evidence?.self_test ?? [];
  document.getElementById("server").replaceChildren(
    element("div", { className: "top" }, element("h2", {}, view.hostname), mark(view.state)),
    element("p", { className: "facts" }, [view.plan, view.zone, view.ipv4, view.ipv6].filter(Boolean).join(" · ")),
    ...(jobs.items ?? [null]).map((job) =>
      table(job ? `Steps: ${job.kind.replaceAll("_", " ")}` : "Steps", ["Step", "State", "Took", "Attempt", "What happened"],
        (job?.steps ?? []).map((step) => [
          step.title, mark(step.state), seconds(step.started_at, step.ended_at), step.attempt,
          [step.message, step.next_action].filter(Boolean).join(" "),
        ]), jobs.problem)),
    table("Addresses", ["Address", "State", "Refused by"],
      (view.addresses ?? []).map((address) => [
        address.address, mark(address.state),
        (address.listings ?? []).map((listing) => `${listing.blacklist} (${listing.meaning})`).join(", "),
      ])),
    table("Records", ["Name", "Type", "State", "DNSSEC", "Detail"],
      (names.records ?? names.items ?? []).map((record) => [
        record.name, record.type, mark(record.state), mark(record.dnssec ? "ok" : "no"), record.detail,
      ]), names.problem),
    table("Reputation", ["Address", "Verdict", "Checked", "Listed on", "No answer"],
      (reputation.addresses ?? reputation.items ?? []).map((address) => [
        address.address, mark(address.verdict), address.checked_at ?? "",
        (address.listings ?? []).map((listing) => listing.blacklist).join(", ") || "none",
        (address.unknown ?? []).join(", ") || "none",
      ]), reputation.problem),
    table("Evidence of the last self-test", ["Layer", "Check", "Result", "Evidence"],
      rows.map((row) => [row.layer, row.title ?? row.id, mark(row.ok ? "ok" : "failed"), row.evidence])),
    table("Conditions", ["Condition", "Status", "Since", "Reason"],
      (view.conditions ?? []).map((condition) => [
        condition.type, mark(condition.status), condition.last_transition_at,
        [condition.reason, condition.message].filter(Boolean).join(": "),
      ])),
  );
}

async function listServers() {
  const workspaces = await api("/v1/workspaces");
  const found = [];
  for (const workspace of workspaces.items) {
    const servers = await api(`/v1/workspaces/${workspace.id}/servers`);
    found.push(...servers.items.map((server) => ({ workspace: workspace.id, server: server.id, hostname: server.hostname })));
  }
  return found;
}

async function refresh() {
  if (!token) return;
  const found = await listServers();
  const wanted = location.hash.slice(1);
  current = found.find((each) => each.server === wanted) ?? found[0] ?? null;
  document.getElementById("servers").replaceChildren(
    ...found.map((each) => {
      const link = element("a", { href: `#${each.server}` }, each.hostname);
      if (each === current) link.setAttribute("aria-current", "page");
      return link;
    }));
  if (current) await show(current);
  else document.getElementById("server").replaceChildren(element("p", { className: "empty" }, "No server yet."));
}

function signOut() {
  token = null;
  document.getElementById("sign-in").hidden = false;
  document.getElementById("server").hidden = true;
  document.getElementById("sign-out").hidden = true;
  document.getElementById("servers").replaceChildren();
}

document.getElementById("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const refused = document.getElementById("refused");
  refused.textContent = "";
  const { email, password } = Object.fromEntries(new FormData(event.target));
  try {
    const session = await api("/v1/auth/sessions", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
      body: JSON.stringify({ email, password }),
    });
    token = session.access_token;
    event.target.reset();
    event.target.hidden = true;
    document.getElementById("server").hidden = false;
    document.getElementById("sign-out").hidden = false;
    await refresh();
  } catch (error) {
    refused.textContent = error.message;
  }
});
document.getElementById("sign-out").addEventListener("click", signOut);
window.addEventListener("hashchange", () => refresh().catch(() => {}));
setInterval(() => refresh().catch(() => {}), REFRESH_MS);
signOut();
