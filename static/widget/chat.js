(() => {
  "use strict";
  const root = document.documentElement;
  const { chatbot, name, greeting, accent, ink, light, dark } = document.body.dataset;
  const base = `/widget/${chatbot}/`;
  const key = `chat-visitor-${chatbot}`;
  const $ = (selector) => document.querySelector(selector);
  const log = $("#log"), form = $("#say"), box = $("#text"), typing = $("#typing"), contact = $("#contact"), note = $("#note");
  root.style.setProperty("--accent", accent);
  root.style.setProperty("--ink", ink);
  root.style.setProperty("--mark", `light-dark(${light}, ${dark})`);

  // The only thing kept in the browser is a random token; where a frame may store nothing, the page around it keeps it.
  const memory = {};
  const token = {
    get: () => { try { return localStorage.getItem(key) || ""; } catch { return memory.token || ""; } },
    set: (value) => { memory.token = value; try { localStorage.setItem(key, value); } catch { tell("keep", { token: value }); } },
  };

  let ticket = "", page = "", last = "", parentOrigin = "", isOpen = window.parent === window, started = null, timer = 0, sending = false;
  const shown = new Set();

  const tell = (type, more = {}) => parentOrigin && window.parent.postMessage({ type: `chat-widget:${type}`, ...more }, parentOrigin);

  const uuid = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  };

  const line = (role, text, id = "") => {
    if (id && shown.has(id)) return null;
    if (id) { shown.add(id); last = id; }
    const item = document.createElement("div");
    item.className = "line";
    item.dataset.role = role;
    const who = document.createElement("span");
    who.className = "unseen";
    who.textContent = role === "visitor" ? "You: " : role === "bot" ? `${name}: ` : "Team: ";
    const words = document.createElement("p");
    words.append(who, text);
    item.append(words);
    log.append(item);
    item.scrollIntoView({ block: "end" });
    return item;
  };

  const call = async (path, body) => {
    const headers = { Accept: "application/json", "X-Visitor": token.get(), "X-Ticket": ticket };
    const options = { headers, credentials: "omit", cache: "no-store" };
    if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body), headers: { ...headers, "Content-Type": "application/json" } });
    const response = await fetch(base + path, options);
    const data = await response.json().catch(() => ({}));
    return { status: response.status, data };
  };

  const enter = async () => {
    const { status, data } = await call("session/");
    if (status !== 200) throw new Error(data.title || "unavailable");
    token.set(data.token);
    ticket = data.ticket;
    for (const message of data.messages) line(message.role, message.text, message.id);
  };

  const start = () => {
    started = started || (line("bot", greeting), enter().catch((error) => { started = null; throw error; }));
    return started;
  };

  // One more try with a fresh ticket when the chat was open for longer than a ticket lives.
  const post = async (path, body) => {
    await start();
    let answer = await call(path, body);
    if (answer.status === 401) { await enter(); answer = await call(path, body); }
    return answer;
  };

  const busy = (is) => { sending = is; typing.hidden = !is; if (is) typing.scrollIntoView({ block: "end" }); };

  const failed = (item, id, text, why) => {
    const again = document.createElement("button");
    again.type = "button";
    again.className = "again";
    again.textContent = `${why} Try again`;
    again.addEventListener("click", () => { again.remove(); send(id, text, item); });
    item.append(again);
    again.scrollIntoView({ block: "end" });
  };

  const send = async (id, text, item) => {
    busy(true);
    try {
      const { status, data } = await post("messages/", { id, text, page });
      if (status === 200) {
        shown.add(data.question);
        last = last || data.question;
        if (data.reply) line("bot", data.reply.text, data.reply.id);
        else if (data.text) line("bot", data.text);
        if (data.suggestions.length) suggest(data.suggestions);
        if (data.wants_contact) askForContact(!data.suggestions.length);
      } else {
        failed(item, id, text, data.title || "This could not be sent.");
      }
    } catch {
      failed(item, id, text, "No connection.");
    } finally {
      busy(false);
      if (contact.hidden) box.focus();
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = box.value.trim();
    if (!text || sending) return;
    box.value = "";
    grow();
    send(uuid(), text, line("visitor", text));
  });

  const grow = () => { box.style.blockSize = "auto"; box.style.blockSize = `${Math.min(box.scrollHeight, 120)}px`; };
  box.addEventListener("input", grow);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });

  const suggest = (questions) => {
    const group = document.createElement("div");
    group.className = "suggestions";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Perhaps you mean");
    const words = document.createElement("p");
    words.textContent = "Perhaps you mean:";
    group.append(words);
    for (const question of questions) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = question;
      button.addEventListener("click", () => {
        if (sending) return;
        group.remove();
        contact.hidden = true;
        send(uuid(), question, line("visitor", question));
      });
      group.append(button);
    }
    log.append(group);
    group.scrollIntoView({ block: "end" });
  };

  // With suggestions above it, the form waits its turn: only without any does it take the focus.
  const askForContact = (isFirst) => {
    contact.hidden = false;
    log.append(contact);
    contact.scrollIntoView({ block: isFirst ? "end" : "nearest" });
    if (isFirst) contact.querySelector("input").focus();
  };

  contact.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(contact));
    for (const problem of contact.querySelectorAll("[data-problem]")) problem.textContent = "";
    for (const input of contact.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
    contact.querySelector("button").disabled = true;
    try {
      const { status, data } = await post("lead/", fields);
      if (status === 200) {
        contact.hidden = true;
        contact.reset();
        line("bot", data.text);
        box.focus();
      } else if (data.errors) {
        for (const [field, problem] of Object.entries(data.errors)) {
          contact.querySelector(`[data-problem="${field}"]`).textContent = problem;
          contact.elements[field].setAttribute("aria-invalid", "true");
        }
        contact.querySelector("[aria-invalid]").focus();
      } else {
        contact.querySelector('[data-problem="form"]').textContent = data.title || "This could not be sent. Please try again.";
      }
    } catch {
      contact.querySelector('[data-problem="form"]').textContent = "No connection. Please try again.";
    } finally {
      contact.querySelector("button").disabled = false;
    }
  });
  $("#not-now").addEventListener("click", () => { contact.hidden = true; box.focus(); });

  // People answer too: look for news often while the chat is open, rarely while it is not, never while the tab is hidden.
  const look = async () => {
    clearTimeout(timer);
    if (last && !sending && !document.hidden) {
      try {
        const { status, data } = await call(`conversation/?after=${last}`);
        if (status === 200) for (const message of data.messages) {
          if (line(message.role, message.text, message.id) && !isOpen) tell("unread");
        }
      } catch { /* the next look comes anyway */ }
    }
    timer = setTimeout(look, isOpen ? 4000 : 30000);
  };

  const opened = () => {
    isOpen = true;
    note.hidden = true;
    start().catch(() => { note.hidden = false; });
    box.focus();
    look();
  };

  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tell("close"); });
  $("#close").addEventListener("click", () => tell("close"));
  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || window.parent === window || !event.data) return;
    if (parentOrigin && event.origin !== parentOrigin) return;
    if (event.data.type === "chat-widget:hello") {
      parentOrigin = event.origin;
      page = String(event.data.page || "").startsWith(event.origin) ? String(event.data.page) : "";
      if (/^[\w-]{43}$/.test(event.data.token)) memory.token = event.data.token;
      $("#close").hidden = false;
      tell("ready", { name, accent, ink });
      if (token.get()) start().then(look, () => {});
    } else if (parentOrigin && event.data.type === "chat-widget:open") {
      opened();
    } else if (parentOrigin && event.data.type === "chat-widget:closed") {
      isOpen = false;
    }
  });

  if (window.parent === window) opened();
  else window.parent.postMessage({ type: "chat-widget:loaded" }, "*");
})();
