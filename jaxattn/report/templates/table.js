"use strict";
// Tables that can be searched and sorted: in an element of class "listed", with an input that is hidden until then.
for (const box of document.querySelectorAll(".listed")) {
  const body = box.querySelector("tbody");
  const rows = [...body.rows];
  const input = box.querySelector("input");
  const found = box.querySelector("output");
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    found.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} classes`;
  };
  input.addEventListener("input", show);
  box.querySelector(".search").hidden = false;
  const heads = [...box.querySelectorAll("thead th")];
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    return heads[column].classList.contains("number") ? Number.parseFloat(text.replaceAll(",", "")) : text;
  };
  const compare = (a, b) => {
    if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
    return (Number.isNaN(a) - Number.isNaN(b)) || a - b;
  };
  for (const [column, head] of heads.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.ariaSort === "ascending" ? -1 : 1;
      for (const one of heads) one.ariaSort = null;
      head.ariaSort = sign > 0 ? "ascending" : "descending";
      body.append(...rows.sort((a, b) => sign * compare(value(a, column), value(b, column))));
    });
  }
  show();
}
