// One bar above all that is shown by variant: the picture and every table follow it.
function filterBar(run) {
  const rows = [...run.querySelectorAll(".variants tbody tr")];
  const followers = [...run.querySelectorAll(".explore tr[data-variant]")];
  const text = make("input", { type: "search", placeholder: "name, stage, format…", name: "text" });
  const runtime = make("select", { name: "runtime" }, make("option", { value: "" }, "all"));
  const front = make("input", { type: "checkbox", name: "front" });
  const budget = make("input", { type: "checkbox", name: "budget" });
  const count = make("output", { "aria-live": "polite" });
  const runtimes = [...new Set(rows.map(row => row.dataset.runtime))];
  runtime.append(...runtimes.map(name => make("option", { value: `=${name}` }, name)));

  const said = new Map(rows.map(row => [row, `${row.cells[1].textContent} ${row.cells[2].textContent} ${row.dataset.made}`.toLowerCase()]));
  const kept = row =>
    text.value.toLowerCase().split(/\s+/).every(word => said.get(row).includes(word)) &&
    (runtime.value === "" || runtime.value === `=${row.dataset.runtime}`) &&
    (!front.checked || row.dataset.front === "true") &&
    (!budget.checked || row.dataset.budget === "true");
  const apply = () => {
    const shown = new Set(rows.filter(kept).map(row => row.dataset.variant));
    for (const row of followers) row.hidden = !shown.has(row.dataset.variant);
    count.textContent = `${shown.size} of ${rows.length} variants shown`;
    run.dispatchEvent(new CustomEvent("filtered", { detail: shown }));
  };

  const bar = make("div", { class: "controls", role: "group", "aria-label": "Filter the variants" },
    make("label", {}, "Filter", text),
    ...(runtimes.length > 1 ? [make("label", {}, "Runtime", runtime)] : []),
    make("label", {}, front, "on the front"),
    make("label", {}, budget, "within budget"),
    count);
  bar.addEventListener("input", apply);
  run.querySelector(".explore").prepend(bar);
  return { text, runtime, front, budget, apply };
}
