// Small comforts on pages that work without them. No inline handlers: elements ask by data attributes.
(() => {
  "use strict";
  const doc = document;
  const one = (selector, root = doc) => root.querySelector(selector);
  const all = (selector, root = doc) => [...root.querySelectorAll(selector)];
  const isMac = /Mac|iP(hone|ad|od)/.test(navigator.platform);

  // --- what only makes sense with scripts is hidden in the HTML and shown here
  const reveal = (root) => {
    all("[data-opens][hidden], [data-copy][hidden], [data-dismiss][hidden], [data-filter][hidden], [data-print][hidden]", root).forEach((element) => { element.hidden = false; });
    all("[data-without-scripts]", root).forEach((element) => { element.hidden = true; });
    if (isMac) all("[data-command-key]", root).forEach((element) => { element.textContent = "⌘ K"; });
    tick(root);
  };

  // --- relative times, in step with kit.templatetags.kit.relative
  const relative = (moment) => {
    const seconds = (moment - Date.now()) / 1000;
    const distance = Math.abs(seconds);
    if (distance < 45) return "just now";
    if (distance >= 604800) return null;
    const [size, word] = distance >= 86400 ? [86400, "day"] : distance >= 3600 ? [3600, "hour"] : [60, "minute"];
    const count = Math.max(1, Math.round(distance / size));
    const words = `${count} ${word}${count === 1 ? "" : "s"}`;
    return seconds > 0 ? `in ${words}` : `${words} ago`;
  };
  const tick = (root) => all("time[data-relative]", root).forEach((element) => {
    const words = relative(Date.parse(element.dateTime));
    if (words && words !== element.textContent) element.textContent = words;
  });
  setInterval(() => tick(doc), 30000);

  // --- dialogs: <button commandfor="id" command="show-modal"> is the browser's own; older ones get it here
  const nativeCommands = "commandForElement" in HTMLButtonElement.prototype;
  const openDialog = (id) => {
    const dialog = doc.getElementById(id);
    if (!dialog || dialog.open) return;
    all("[popover]").forEach((popover) => popover.matches(":popover-open") && popover.hidePopover());
    if (id === "palette") fillPalette(dialog);
    dialog.showModal();
  };

  const say = (text) => {
    const region = one("#messages");
    if (!region) return;
    const words = doc.createElement("span");
    words.className = "hidden-text";
    words.textContent = text;
    region.append(words);
    setTimeout(() => words.remove(), 4000);
  };

  const copy = async (button) => {
    const source = doc.getElementById(button.dataset.copy);
    if (!source) return;
    try {
      await navigator.clipboard.writeText(("value" in source ? source.value : source.textContent).trim());
    } catch {
      getSelection().selectAllChildren(source);
      return;
    }
    const label = one("[data-label]", button) || button;
    const before = label.textContent;
    label.textContent = "Copied";
    say("Copied");
    setTimeout(() => { label.textContent = before; }, 1600);
  };

  doc.addEventListener("click", (event) => {
    const target = event.target.closest("[data-copy], [data-dismiss], [data-opens], [data-closes], [data-print], [commandfor]");
    if (!target) {
      if (event.target.matches("dialog[open]:not([data-keep])") && event.target === event.explicitOriginalTarget) event.target.close();
      return;
    }
    if (target.dataset.copy) copy(target);
    else if ("dismiss" in target.dataset) target.closest("[data-dismissible]").remove();
    else if (target.dataset.opens) openDialog(target.dataset.opens);
    else if ("closes" in target.dataset) target.closest("dialog").close();
    else if ("print" in target.dataset) print();
    else if (!nativeCommands) {
      const dialog = doc.getElementById(target.getAttribute("commandfor"));
      if (target.getAttribute("command") === "show-modal") dialog.showModal(); else dialog.close();
    }
  });

  const release = () => all("[data-sent]").forEach((button) => { button.disabled = false; delete button.dataset.sent; });

  // --- forms that send themselves, forms that must not be sent twice
  doc.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-autosubmit]");
    if (form) form.requestSubmit();
  });
  doc.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method !== "post") return;
    const buttons = all("button:not([type=button]):not(:disabled)", event.target);
    setTimeout(() => buttons.forEach((button) => { button.disabled = true; button.dataset.sent = ""; }));
    setTimeout(release, 8000);
  });
  addEventListener("pageshow", (event) => { if (event.persisted) release(); });

  // --- lists with a filter: the account switcher
  doc.addEventListener("input", (event) => {
    if (!event.target.matches("[data-filter]")) return;
    const list = event.target.closest("[data-filter-list]");
    const wanted = event.target.value.trim().toLowerCase();
    let shown = 0;
    all("[data-filter-text]", list).forEach((row) => {
      row.hidden = !row.dataset.filterText.toLowerCase().includes(wanted);
      shown += !row.hidden;
    });
    const none = one("[data-filter-none]", list);
    if (none) none.hidden = shown > 0;
  });
  doc.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("[data-filter]")) return;
    event.preventDefault();
    one("[data-filter-text]:not([hidden]) button, a[data-filter-text]:not([hidden])", event.target.closest("[data-filter-list]"))?.click();
  });
  doc.addEventListener("keydown", (event) => {
    const list = event.target.closest("[data-filter-list]");
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!list || !step) return;
    event.preventDefault();
    const rows = all("[data-filter], a, button", list).filter((row) => row.checkVisibility());
    rows[(rows.indexOf(event.target) + step + rows.length) % rows.length].focus();
  });
  doc.addEventListener("toggle", (event) => {
    if (event.newState === "open" && event.target.matches("[data-filter-list]")) one("[data-filter], a, button", event.target)?.focus();
  }, true);

  // --- the palette: every link and switch of the sidebar and of the page's header, by name
  const entries = () => {
    const found = [];
    const seen = new Set();
    const add = (element, kind) => {
      const name = element.textContent.trim().replace(/\s+/g, " ");
      if (!name || seen.has(kind + name)) return;
      seen.add(kind + name);
      found.push({ name, kind, element });
    };
    all("#sidebar .nav a").forEach((element) => add(element, "Page"));
    all(".tabs a").forEach((element) => add(element, "Tab"));
    all(".page-actions a, .page-actions > button").forEach((element) => add(element, "Action"));
    all("#switcher [data-filter-text]").forEach((element) => {
      const name = element.dataset.filterText;
      found.push({ name, kind: element.dataset.filterKind || (element.matches("form") ? "Sub-account" : "Agency"), element: one("button", element) || element });
    });
    all("#person-menu a, #person-menu form button").forEach((element) => add(element, "You"));
    return found;
  };
  const fillPalette = (dialog) => {
    const input = one("input", dialog);
    const list = one("ul", dialog);
    const none = one(".palette-none", dialog);
    const known = entries();
    let chosen = 0;
    const mark = () => [...list.children].forEach((row, index) => {
      row.setAttribute("aria-selected", String(index === chosen));
      if (index === chosen) { input.setAttribute("aria-activedescendant", row.id); row.scrollIntoView({ block: "nearest" }); }
    });
    const go = (entry) => {
      dialog.close();
      if (entry.url) location.assign(entry.url); else entry.element.click();
    };
    const show = () => {
      const words = input.value.trim().toLowerCase().split(/\s+/);
      const hits = known.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word))).slice(0, 30);
      const asked = input.value.trim();
      if (asked && dialog.dataset.searchUrl) {
        hits.push({ name: `${dialog.dataset.searchName} for “${asked}”`, kind: "Search", url: `${dialog.dataset.searchUrl}?q=${encodeURIComponent(asked)}` });
      }
      list.replaceChildren(...hits.map((entry, index) => {
        const row = doc.createElement("li");
        row.id = `palette-${index}`;
        row.setAttribute("role", "option");
        const button = doc.createElement("button");
        button.type = "button";
        button.tabIndex = -1;
        button.textContent = entry.name;
        const kind = doc.createElement("small");
        kind.textContent = entry.kind;
        button.append(kind);
        row.append(button);
        row.addEventListener("click", () => go(entry));
        return row;
      }));
      none.hidden = hits.length > 0;
      list.hidden = hits.length === 0;
      chosen = 0;
      mark();
      input.onkeydown = (event) => {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
          event.preventDefault();
          chosen = (chosen + (event.key === "ArrowDown" ? 1 : -1) + hits.length) % Math.max(1, hits.length);
          mark();
        } else if (event.key === "Enter" && hits[chosen]) {
          event.preventDefault();
          go(hits[chosen]);
        }
      };
    };
    input.value = "";
    input.oninput = show;
    show();
  };

  // --- keys
  doc.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && doc.getElementById("palette")) {
      event.preventDefault();
      openDialog("palette");
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable], dialog[open]")) return;
    if (event.key === "/") {
      const search = one("main input[type=search], main [data-search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if (event.key === "?") openDialog("shortcuts");
  });

  // --- files dropped on an upload field
  const overUpload = (event) => event.target.closest?.("[data-upload]");
  doc.addEventListener("dragover", (event) => {
    const zone = overUpload(event);
    if (zone) { event.preventDefault(); zone.dataset.over = ""; }
  });
  doc.addEventListener("dragleave", (event) => { const zone = overUpload(event); if (zone) delete zone.dataset.over; });
  doc.addEventListener("drop", (event) => {
    const zone = overUpload(event);
    if (!zone) return;
    event.preventDefault();
    delete zone.dataset.over;
    const input = one("input[type=file]", zone);
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });

  // --- passkeys: allauth's script reports here what the browser refused
  doc.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    const button = one("[data-needs-passkey]");
    if (!button) return;
    one(".passkey-refused")?.remove();
    const words = doc.createElement("p");
    words.className = "passkey-refused small bad";
    words.setAttribute("role", "alert");
    words.textContent = "No passkey was used: the browser cancelled, or has none for this address. Nothing was changed.";
    button.after(words);
  });
  if (!window.PublicKeyCredential) all("[data-needs-passkey]").forEach((button) => { button.disabled = true; });

  // --- a suggestion that comes late does not replace what was typed meanwhile
  doc.addEventListener("htmx:beforeSwap", (event) => {
    if (!event.detail.target.matches("[data-suggestion]")) return;
    const field = one("input", event.detail.target);
    if (field.value !== field.defaultValue) event.detail.shouldSwap = false;
  });

  doc.addEventListener("htmx:afterSettle", (event) => reveal(event.target));
  reveal(doc);
})();
