// Points of the picture say what they are when pointed at, or reached with the arrow keys.
const REACH = 18;

function livelyPicture(run) {
  const svg = run.querySelector(".picture svg");
  const part = name => document.getElementById(`${run.dataset.prefix}pareto-${name}`);
  const points = [...run.querySelectorAll(".variants tbody tr")].map(row => {
    const group = part(`variant-${row.dataset.variant}`);
    const mark = group.querySelector("use");
    group.querySelector("title").remove();
    return { row, group, x: Number(mark.getAttribute("x")), y: Number(mark.getAttribute("y")), number: row.dataset.variant };
  }).sort((a, b) => a.x - b.x);
  const tip = make("div", { class: "tip", role: "tooltip", id: `${run.dataset.prefix}tip`, hidden: "" });
  const halo = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  halo.setAttribute("class", "halo");
  halo.setAttribute("r", "9");
  run.querySelector(".picture").append(tip);
  let shown = points, current = null;

  const cell = (row, place) => [...row.cells[place].childNodes].map(node => node.textContent.trim()).filter(Boolean);
  const facts = ({ row }) => ({
    "top-1": `${cell(row, 3)[0]} % ${cell(row, 3)[1] ?? ""}`,
    p50: `${cell(row, 5)[0]} ms ${cell(row, 5)[1] ?? ""}`,
    size: row.cells[9].textContent,
  });
  const name = ({ row }) => row.querySelector(".name").textContent;

  function describe(point) {
    const { row, number } = point;
    const list = make("dl", {}, ...Object.entries(facts(point)).flatMap(([what, value]) => [make("dt", {}, what), make("dd", {}, value)]));
    tip.replaceChildren(make("strong", {}, `${number} · ${name(point)}`), make("p", {}, cell(row, 2).join(" · ")), make("p", {}, row.dataset.made), list);
  }

  function place(point) {
    const frame = svg.parentNode.getBoundingClientRect();
    const box = point.group.getBoundingClientRect();
    const middle = (box.left + box.right) / 2 - frame.left;
    // Neither out of the window nor below the pointer.
    const widest = document.documentElement.clientWidth - frame.left - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(0, Math.min(middle - tip.offsetWidth / 2, widest))}px`;
    const above = box.top - frame.top - tip.offsetHeight - 12;
    tip.style.top = `${box.top - tip.offsetHeight - 12 > 0 ? above : box.bottom - frame.top + 12}px`;
  }

  function mark(point) {
    current?.row.classList.remove("pointed");
    current = point;
    halo.remove();
    if (!point) return;
    point.row.classList.add("pointed");
    halo.setAttribute("cx", point.x);
    halo.setAttribute("cy", point.y);
    point.group.before(halo);
  }

  function show(point) {
    if (point === current && tip.hidden === !point) return;
    mark(point);
    tip.hidden = !point;
    if (!point) return;
    describe(point);
    place(point);
  }

  // One stop for the tab key: two hundred would bar the way to the table.
  function stop(point) {
    for (const other of points) other.group.setAttribute("tabindex", other === point ? "0" : "-1");
  }

  function go(step) {
    const at = Math.max(0, Math.min(shown.length - 1, shown.findIndex(point => point.group === document.activeElement) + step));
    stop(shown[at]);
    shown[at].group.focus();
  }

  function nearest(event) {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const far = ({ x, y }) => Math.hypot(x - (event.clientX - box.left) * scale, y - (event.clientY - box.top) * scale);
    const closest = shown.reduce((best, point) => (best && far(best) <= far(point) ? best : point), null);
    return closest && far(closest) < REACH * scale ? closest : null;
  }

  svg.setAttribute("role", "group");
  svg.setAttribute("aria-roledescription", "plot; arrow keys go from point to point");
  for (const point of points) {
    point.group.dataset.point = "";
    point.group.setAttribute("role", "img");
    point.group.setAttribute("aria-label", `${name(point)}, ${cell(point.row, 2).join(", ")}; ${point.row.dataset.made}; ${Object.entries(facts(point)).map(fact => fact.join(" ")).join("; ")}`);
    point.group.addEventListener("focus", () => show(point));
    point.group.addEventListener("blur", () => show(null));
    point.row.addEventListener("pointerenter", () => mark(point));
    point.row.addEventListener("pointerleave", () => mark(null));
  }
  stop(points[0]);
  const keys = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  svg.addEventListener("keydown", event => {
    if (event.key === "Escape") return show(null);
    if (!(event.key in keys) || !shown.length) return;
    event.preventDefault();
    go(keys[event.key]);
  });
  svg.addEventListener("pointermove", event => show(nearest(event)));
  svg.addEventListener("pointerdown", event => show(nearest(event)));
  svg.addEventListener("pointerleave", () => show(null));
  run.addEventListener("filtered", ({ detail }) => {
    show(null);
    shown = points.filter(({ number }) => detail.has(number));
    const chosen = run.querySelector(".variants .recommended")?.dataset.variant;
    for (const { number } of points) for (const kind of ["variant", "interval", "number"]) part(`${kind}-${number}`)?.classList.toggle("off", !detail.has(number));
    for (const ring of ["recommended", "recommended-name"]) part(ring)?.classList.toggle("off", !detail.has(chosen));
    if (shown.length) stop(shown[0]);
  });
}
