// Counts an assist down where the time of its end stands without scripts, asks to finish, and says when it is over.
(() => {
  "use strict";
  const shown = document.querySelector("[data-countdown]");
  if (!shown) return;
  const banner = shown.closest(".banner");
  const voice = banner.querySelector("[data-countdown-voice]");
  const dialog = document.getElementById("assist-over");
  const urgentFrom = Number(shown.dataset.urgentFrom);
  // Counted from the seconds the server saw left: the clock of this computer may be wrong.
  const endsAt = Date.now() + Number(shown.dataset.countdown) * 1000;
  const marks = [urgentFrom, 60];
  let typed = false;
  let before = Infinity;
  let timer = 0;

  document.addEventListener("input", (event) => { if (event.target.closest("main form[method=post]")) typed = true; });
  document.addEventListener("submit", () => { typed = false; });

  const say = (seconds) => {
    const minutes = Math.ceil(seconds / 60);
    voice.textContent = `Your assist ends in ${minutes} ${minutes === 1 ? "minute" : "minutes"}.${typed ? " What you typed is not saved yet." : ""}`;
  };
  const over = () => {
    shown.textContent = "now";
    banner.querySelectorAll("[data-when-urgent]").forEach((element) => { element.hidden = element.tagName === "STRONG"; });
    dialog.querySelector("[data-when-typed]").hidden = !typed;
    voice.textContent = "Your assist has ended.";
    document.querySelectorAll("dialog[open]").forEach((other) => other.close());
    dialog.showModal();
  };
  const tick = () => {
    clearTimeout(timer);
    const left = Math.ceil((endsAt - Date.now()) / 1000);
    if (left <= urgentFrom && !("urgent" in banner.dataset)) {
      banner.dataset.urgent = "";
      banner.querySelectorAll("[data-when-urgent]").forEach((element) => { element.hidden = false; });
    }
    if (left <= 0) {
      before = 0;
      over();
      return;
    }
    shown.textContent = `in ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (marks.some((mark) => left <= mark && before > mark)) say(left);
    before = left;
    timer = setTimeout(tick, (endsAt - Date.now()) % 1000 || 1000);
  };
  // A computer that slept, or a tab in the background, looks again at once.
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !dialog.open && before > 0) tick(); });
  tick();
})();
