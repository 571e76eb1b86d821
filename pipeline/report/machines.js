// Without scripts the machines stand below each other; with them, one is shown at a time.
const runs = [...document.querySelectorAll(".run")];
const bars = runs.map(run => {
  const bar = filterBar(run);
  livelyPicture(run);
  bar.apply();
  return bar;
});

function switchMachines() {
  const buttons = runs.map(run => make("button", { type: "button" }, run.dataset.machine));
  let current = 0;
  const show = number => {
    // What was asked of one machine is asked of the next.
    const [from, to] = [bars[current], bars[number]];
    for (const field of ["text", "runtime"]) to[field].value = from[field].value;
    if (to.runtime.selectedIndex < 0) to.runtime.value = "";
    for (const field of ["front", "budget"]) to[field].checked = from[field].checked;
    current = number;
    runs.forEach((run, at) => (run.hidden = at !== number));
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === number)));
    to.apply();
  };
  buttons.forEach((button, number) => button.addEventListener("click", () => show(number)));
  const links = document.querySelectorAll("#machines tbody a");
  links.forEach((link, number) => link.addEventListener("click", () => show(number)));
  document.querySelector("#machines").append(make("div", { class: "switch", role: "group", "aria-label": "Machine" }, ...buttons));
  show(0);
}

if (runs.length > 1) switchMachines();
