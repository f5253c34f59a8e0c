// Where links in mails lead. The token came in the fragment; it is sent only when the person presses the button,
// so that a mail scanner that opens links uses up nothing.

const token = new URLSearchParams(location.hash.slice(1)).get("token");
const form = document.getElementById(location.pathname.slice(1));
const outcome = document.getElementById("outcome");
history.replaceState(null, "", location.pathname);

async function post(path, body, bearer) {
  const headers = { "Idempotency-Key": crypto.randomUUID() };
  if (body) headers["Content-Type"] = "application/json";
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  const answer = await fetch(path, { method: "POST", headers, body: body && JSON.stringify(body) });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error([content.detail, content.next_action].filter(Boolean).join(" ") || `HTTP ${answer.status}`);
  return content;
}

async function use() {
  if (form.id === "confirm") {
    await post("/v1/auth/confirm", { token });
    return "Your address is confirmed. You can sign in now.";
  }
  if (form.id === "email") {
    await post("/v1/auth/email-change/confirm", { token });
    return "Your new address is confirmed.";
  }
  if (form.id === "unsubscribe") {
    const { what } = await post(`/v1/unsubscribe?token=${encodeURIComponent(token)}`);
    return `Done. You get no more mails of this kind: ${what}.`;
  }
  const { email, password } = Object.fromEntries(new FormData(form));
  if (form.id === "reset") {
    await post("/v1/auth/password-reset/complete", { token, password });
    return "Your password is set. You can sign in now.";
  }
  if (form.id === "email-undo") {
    await post("/v1/auth/email-change/undo", { token, password });
    return "Your account is back at this address, with the new password.";
  }
  const session = await post("/v1/auth/sessions", { email, password });
  await post("/v1/invitations/accept", { token }, session.access_token);
  return "You are a member now.";
}

if (!token) outcome.textContent = "This link is incomplete. Open it from the mail again.";
else {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      outcome.textContent = await use();
      form.hidden = true;
    } catch (error) {
      outcome.textContent = error.message;
    }
  });
}
