// The little that pages need beside htmx: the age of the figures counts on, a silent server is said, forms leave clean links.
"use strict";

(() => {
  const shown = new WeakMap(); // element with an age -> when it was shown

  function words(ms) {
    if (ms < 10000) return (ms / 1000).toFixed(1) + " s";
    if (ms < 120000) return Math.floor(ms / 1000) + " s";
    if (ms < 7200000) return Math.floor(ms / 60000) + " min";
    return ms < 172800000 ? Math.floor(ms / 3600000) + " h" : Math.floor(ms / 86400000) + " days";
  }

  function age() {
    document.querySelectorAll("[data-age-ms]").forEach((element) => {
      if (!shown.has(element)) shown.set(element, performance.now());
      const ms = Number(element.dataset.ageMs) + performance.now() - shown.get(element);
      element.textContent = words(ms) + " ago";
      const head = element.closest(".freshness");
      if (head && ms >= 60000) { head.classList.remove("fresh", "stale"); head.classList.add("stuck"); }
      else if (head && ms >= 10000) { head.classList.remove("fresh"); head.classList.add("stale"); }
    });
  }

  function broken(is) {
    document.getElementById("broken").hidden = !is;
  }

  document.addEventListener("htmx:beforeRequest", (event) => { if (document.hidden) event.preventDefault(); });
  document.addEventListener("htmx:sendError", () => broken(true));
  document.addEventListener("htmx:responseError", () => broken(true));
  document.addEventListener("htmx:afterOnLoad", (event) => { if (event.detail.successful) broken(false); });
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    // A poll must not take the place where somebody reads with the keyboard.
    if (event.detail.target && event.detail.target.contains(document.activeElement)) event.detail.shouldSwap = false;
  });

  document.addEventListener("DOMContentLoaded", () => {
    age();
    setInterval(age, 500);
    if (matchMedia("(max-width: 640px)").matches) document.querySelectorAll("details[data-fold]").forEach((part) => { part.open = false; });
    document.querySelectorAll("form[data-clean]").forEach((form) => {
      form.addEventListener("submit", () => {
        form.querySelectorAll("input, select").forEach((field) => { if (field.value === "") field.disabled = true; });
      });
    });
    document.querySelectorAll("form[data-submit-on-change] select").forEach((field) => {
      field.addEventListener("change", () => {
        // Values belong to their dimension and component type.
        if (field.name === "dimension" || field.name === "comp") field.form.querySelectorAll("[name=value]").forEach((value) => { value.disabled = true; });
        field.form.requestSubmit();
      });
    });
    addEventListener("pageshow", () => document.querySelectorAll("form[data-clean] :disabled").forEach((field) => { field.disabled = false; }));
  });
})();
