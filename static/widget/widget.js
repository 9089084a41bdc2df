(() => {
  "use strict";
  // A launcher and a frame, in a closed shadow so that neither page can restyle or read the other. The launcher appears
  // only after the frame has answered, so a website that is not allowed shows nothing at all.
  const script = document.currentScript;
  const id = script && script.dataset.chatbot;
  if (!id || window[`chat-widget-${id}`]) return;
  window[`chat-widget-${id}`] = true;
  const home = new URL(script.src).origin;

  const css = `
    :host { all: initial; }
    .launcher, .panel { position: fixed; z-index: 2147483000; inset-block-end: 20px; inset-inline-end: 20px; }
    .launcher { inline-size: 56px; block-size: 56px; border: 0; border-radius: 50%; padding: 0; cursor: pointer; display: grid; place-items: center;
      background: var(--accent); color: var(--ink); box-shadow: 0 2px 6px rgb(0 0 0 / .2), 0 8px 24px rgb(0 0 0 / .16); transition: transform .15s; }
    .launcher:hover { transform: scale(1.05); }
    .launcher:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
    .launcher svg { inline-size: 28px; block-size: 28px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
    .dot { position: absolute; inset-block-start: 2px; inset-inline-end: 2px; inline-size: 12px; block-size: 12px; border-radius: 50%;
      background: #d92d20; border: 2px solid #fff; }
    .panel { inline-size: min(384px, calc(100vw - 40px)); block-size: min(620px, calc(100dvh - 40px)); border-radius: 14px; overflow: hidden;
      background: Canvas; box-shadow: 0 4px 12px rgb(0 0 0 / .12), 0 16px 48px rgb(0 0 0 / .22); opacity: 0; visibility: hidden; transform: translateY(8px);
      transition: opacity .15s, transform .15s, visibility .15s; }
    .panel.open { opacity: 1; visibility: visible; transform: none; }
    iframe { border: 0; inline-size: 100%; block-size: 100%; display: block; color-scheme: light dark; }
    [hidden] { display: none !important; }
    @media (max-width: 480px) { .panel { inset: 0; inline-size: 100%; block-size: 100%; border-radius: 0; } }
    @media (prefers-reduced-motion: reduce) { .launcher, .panel { transition: none; } }`;

  // Where a browser allows a frame no storage of its own, this page keeps the visitor's random token for it.
  const key = `chat-visitor-${id}`;
  const kept = () => { try { return localStorage.getItem(key) || ""; } catch { return ""; } };
  const keep = (token) => { try { localStorage.setItem(key, token); } catch { /* forbidden here too: the tab remembers */ } };

  const make = (name, attributes, parent) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return parent.appendChild(element);
  };

  const begin = () => {
    const host = document.createElement("chat-widget");
    const root = host.attachShadow({ mode: "closed" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];

    const launcher = make("button", { class: "launcher", type: "button", hidden: "", "aria-haspopup": "dialog", "aria-expanded": "false" }, root);
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("viewBox", "0 0 24 24");
    icon.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", "M4 5.5A2.5 2.5 0 0 1 6.5 3h11A2.5 2.5 0 0 1 20 5.5v8a2.5 2.5 0 0 1-2.5 2.5H11l-5 4.5V16A2.5 2.5 0 0 1 4 13.5zM8.5 8h7M8.5 11.5h4.5");
    icon.append(path);
    launcher.append(icon);
    const dot = make("span", { class: "dot", hidden: "" }, launcher);
    const panel = make("div", { class: "panel", role: "dialog", "aria-modal": "false", "aria-label": "Chat", inert: "" }, root);
    const frame = make("iframe", { title: "Chat", src: `${home}/widget/${encodeURIComponent(id)}/`, referrerpolicy: "origin" }, panel);
    document.body.append(host);

    let isReady = false;
    const tell = (type, more = {}) => frame.contentWindow && frame.contentWindow.postMessage({ type: `chat-widget:${type}`, ...more }, home);
    const hello = () => tell("hello", { page: location.origin + location.pathname, token: kept() });

    const open = () => {
      panel.classList.add("open");
      panel.inert = false;
      panel.setAttribute("aria-modal", String(matchMedia("(max-width: 480px)").matches));
      launcher.hidden = true;
      launcher.setAttribute("aria-expanded", "true");
      dot.hidden = true;
      frame.focus();
      tell("open");
    };
    const close = () => {
      if (!panel.classList.contains("open")) return;
      panel.classList.remove("open");
      panel.inert = true;
      launcher.hidden = !isReady;
      launcher.setAttribute("aria-expanded", "false");
      launcher.focus();
      tell("closed");
    };

    launcher.addEventListener("click", open);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
    frame.addEventListener("load", hello);
    window.addEventListener("message", (event) => {
      if (event.origin !== home || event.source !== frame.contentWindow || !event.data) return;
      const { type, name, accent, ink, token } = event.data;
      if (type === "chat-widget:ready") {
        isReady = true;
        host.style.setProperty("--accent", accent);
        host.style.setProperty("--ink", ink);
        launcher.setAttribute("aria-label", `Open the chat with ${name}`);
        panel.setAttribute("aria-label", `Chat with ${name}`);
        frame.title = `Chat with ${name}`;
        launcher.hidden = panel.classList.contains("open");
      } else if (type === "chat-widget:loaded") {
        hello();
      } else if (type === "chat-widget:close") {
        close();
      } else if (type === "chat-widget:keep") {
        if (/^[\w-]{43}$/.test(token)) keep(token);
      } else if (type === "chat-widget:unread" && !panel.classList.contains("open")) {
        dot.hidden = false;
      }
    });
  };

  if (document.body) begin();
  else document.addEventListener("DOMContentLoaded", begin, { once: true });
})();
