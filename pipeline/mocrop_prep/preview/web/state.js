"use strict";
// What the page shows is kept in its address, such as #status=fallback&sort=confidence: a view can be sent on.

const main = document.querySelector("main");
const form = document.getElementById("controls");
const DEFAULTS = {
  q: "", class: "", split: "", status: "", by: "", sort: "", order: "", size: "", flagged: "",
  "min-confidence": "0", "max-confidence": "1", "min-inside": "0", "max-inside": "1",
  clip: "", flags: "",
};
const inputs = (name) => (form ? [...form.querySelectorAll(`[name="${name}"]`)] : []);
const checkboxes = { show: inputs("show"), with: inputs("with") };
const values = (name) => checkboxes[name].filter((box) => box.checked).map((box) => box.value);
const atFirst = Object.fromEntries(
  Object.entries(checkboxes).map(([name, boxes]) => [
    name, boxes.filter((box) => box.defaultChecked).map((box) => box.value).join(","),
  ])
);
let state = { ...DEFAULTS, ...atFirst };

function readAddress() {
  const known = { ...DEFAULTS, ...atFirst };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (key in known) known[key] = value;
  }
  return known;
}

function writeAddress(push) {
  const first = { ...DEFAULTS, ...atFirst };
  const told = Object.entries(state).filter(([key, value]) => value !== first[key]);
  const hash = new URLSearchParams(told).toString();
  if (hash === location.hash.slice(1)) return;
  history[push ? "pushState" : "replaceState"](null, "", `#${hash}`);
}

function readForm() {
  for (const key of Object.keys(DEFAULTS)) {
    const [input] = inputs(key);
    if (input) state[key] = input.type === "checkbox" ? (input.checked ? input.value : "") : input.value;
  }
  for (const name of Object.keys(checkboxes)) {
    if (checkboxes[name].length) state[name] = values(name).join(",");
  }
}

function fillForm() {
  for (const key of Object.keys(DEFAULTS)) {
    const [input] = inputs(key);
    if (!input) continue;
    if (input.type === "checkbox") input.checked = state[key] === input.value;
    else input.value = state[key];
    if (input.type !== "checkbox") state[key] = input.value; // what does not exist here is not chosen
  }
  for (const [name, boxes] of Object.entries(checkboxes)) {
    const wanted = state[name].split(",");
    for (const box of boxes) box.checked = wanted.includes(box.value);
  }
}

/** Take over some keys of the state, as a press on a bar of a histogram does. */
function setState(change, push = false) {
  state = { ...state, ...change };
  fillForm();
  show();
  writeAddress(push);
}

function show() {
  showCards();
  showLarge();
}

function start() {
  document.documentElement.classList.add("scripted");
  if (!form) return;
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    readForm();
    show();
    writeAddress();
  });
  document.getElementById("reset").addEventListener("click", reset);
  for (const summary of document.querySelectorAll(".summary")) {
    summary.addEventListener("click", ({ target }) => {
      const press = target.closest("[data-set]");
      if (press) setState(Object.fromEntries(new URLSearchParams(press.dataset.set)));
    });
  }
  const arrive = () => {
    state = readAddress();
    fillForm();
    show();
  };
  addEventListener("hashchange", arrive);
  arrive();
}

function reset() {
  setState({ ...DEFAULTS, ...atFirst, clip: state.clip, flags: state.flags, size: state.size });
}
