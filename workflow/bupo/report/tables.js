// Sorting and filtering of the tables. Without scripts the page is whole; its rows then stand in the experiment's order.
"use strict";
for (const table of document.querySelectorAll("table")) {
  const heads = table.tHead ? [...table.tHead.rows[table.tHead.rows.length - 1].cells] : [];
  const bodies = [...table.tBodies];
  const rows = bodies.flatMap((body) => [...body.rows]).filter((row) => !row.matches(".group"));
  if (heads.length < 2 || rows.length < 3) continue;
  const order = new Map(rows.map((row, place) => [row, place]));

  const shown = (cell) => cell.dataset.value ?? [...cell.childNodes].map((node) => node.textContent).join(" ").trim();
  const number = (text) => {
    const found = text.replace(/−/g, "-").replace(/,(?=\d{3})/g, "").match(/^[<+\s]*(-?[\d.]+(?:e-?\d+)?)/);
    return found ? Number(found[1]) - (text.trim().startsWith("<") ? 1e-9 : 0) : null;
  };
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    if (x !== null && y !== null) return x - y;
    if (x !== null || y !== null) return x === null ? 1 : -1;
    return a.localeCompare(b);
  };
  const sort = (column, direction) => {
    for (const body of bodies) {
      const mine = [...body.rows].filter((row) => order.has(row));
      mine.sort((one, other) => {
        if (direction === "none") return order.get(one) - order.get(other);
        const [a, b] = [shown(one.cells[column]), shown(other.cells[column])];
        const empty = [a, b].map((text) => /^(–|not |no |is )/.test(text));
        if (empty[0] !== empty[1]) return empty[0] ? 1 : -1;
        return (direction === "ascending" ? 1 : -1) * compare(a, b) || order.get(one) - order.get(other);
      });
      body.append(...mine);
    }
  };
  for (const [column, head] of heads.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const first = head.matches(".number") ? ["descending", "ascending"] : ["ascending", "descending"];
      const next = { none: first[0], [first[0]]: first[1], [first[1]]: "none" }[head.getAttribute("aria-sort")];
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", next);
      sort(column, next);
    });
  }

  if (rows.length < 8) continue;
  const label = document.createElement("label");
  const field = document.createElement("input");
  const count = document.createElement("output");
  label.className = "filter";
  field.type = "search";
  field.placeholder = "words of a row";
  label.append("Filter ", field, " ", count);
  (table.closest(".scroll") ?? table).before(label);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const body of bodies) {
      const heading = [...body.rows].find((row) => row.matches(".group"));
      const context = heading ? heading.textContent.toLowerCase() : "";
      let here = 0;
      for (const row of body.rows) {
        if (row === heading) continue;
        const text = context + " " + row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        here += row.hidden ? 0 : 1;
      }
      if (heading) heading.hidden = here === 0;
      found += here;
    }
    count.value = words.length ? `${found} of ${rows.length} rows` : "";
  });
}
