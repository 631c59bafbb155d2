// What every page has: the switch between light and dark, and tables that sort by a click or a key on their headings.
"use strict";

(() => {
  const THEMES = ["auto", "light", "dark"];
  const KEY = "h2learn-theme";
  const root = document.documentElement;
  const button = document.getElementById("theme");

  function remembered() {
    try { // a page opened from a file may have no storage
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  function choose(theme) {
    if (theme === "auto") {
      delete root.dataset.theme;
    } else {
      root.dataset.theme = theme;
    }
    button.textContent = `Theme: ${theme}`;
    document.dispatchEvent(new Event("themechange"));
  }

  let theme = THEMES.includes(remembered()) ? remembered() : "auto";
  choose(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    choose(theme);
    try {
      localStorage.setItem(KEY, theme);
    } catch { /* remembered for this visit only */ }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => choose(theme));

  // Paper is light, and all of it is wanted.
  const opened = [];
  addEventListener("beforeprint", () => {
    choose("light");
    for (const details of document.querySelectorAll("details:not([open])")) {
      details.open = true;
      opened.push(details);
    }
  });
  addEventListener("afterprint", () => {
    choose(theme);
    for (const details of opened.splice(0)) details.open = false;
  });

  for (const table of document.querySelectorAll("table.sorts")) makeSortable(table);

  function makeSortable(table) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const press = document.createElement("button");
      press.type = "button";
      press.append(...heading.childNodes);
      heading.append(press);
      press.addEventListener("click", () => {
        const first = holdsNumbers(table, column) ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const direction = heading.getAttribute("aria-sort") === first ? other : first;
        for (const each of headings) each.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", direction);
        sort(table.tBodies[0], column, direction === "ascending" ? 1 : -1);
      });
    });
  }

  function holdsNumbers(table, column) {
    return [...table.tBodies[0].rows].some((row) => "value" in row.cells[column].dataset);
  }

  function sort(body, column, sign) {
    const rows = [...body.rows];
    rows.sort((one, other) => compare(one.cells[column], other.cells[column], sign));
    body.append(...rows);
  }

  function compare(one, other, sign) {
    const [left, right] = [one.textContent, other.textContent];
    if (!left || !right) return Boolean(right) - Boolean(left); // what is missing comes last either way
    if ("value" in one.dataset && "value" in other.dataset) {
      return sign * (Number(one.dataset.value) - Number(other.dataset.value));
    }
    return sign * left.localeCompare(right, "en", { numeric: true });
  }
})();
