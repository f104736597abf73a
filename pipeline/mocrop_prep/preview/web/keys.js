// The keyboard: from clip to clip without a mouse.

let current;
const keysList = document.getElementById("keys");

/** Of all cards one is in the order of the tab key; from there on the arrows go. */
function makeReachable(card) {
  for (const other of cards) other.link.tabIndex = other === card ? 0 : -1;
}

function go(card) {
  if (!card || card.element.hidden) return;
  current = card;
  makeReachable(card);
  card.link.focus();
  card.element.scrollIntoView({ block: "nearest" });
}

function perRow() {
  const top = shown[0]?.element.offsetTop;
  const row = shown.findIndex(({ element }) => element.offsetTop !== top);
  return row < 0 ? shown.length : row;
}

function move(by) {
  const place = shown.indexOf(current);
  go(shown[place < 0 ? 0 : Math.min(Math.max(place + by, 0), shown.length - 1)]);
}

const moves = {
  j: () => 1, k: () => -1, ArrowRight: () => 1, ArrowLeft: () => -1,
  ArrowDown: perRow, ArrowUp: () => -perRow(),
};
const overlayKeys = { c: "crop", b: "actor", d: "density", a: "arrows" };

function press(box) {
  if (!box) return;
  box.checked = !box.checked;
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

function onKey(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || keysList.open) return;
  if (target.matches("input:not([type=checkbox]), select")) {
    if (key !== "Enter" || target.type !== "search") return;
    go(shown[0]);
    event.preventDefault();
    return;
  }
  if (key in moves) {
    if (large.open) step(Math.sign(moves[key]()));
    else move(moves[key]());
  } else if (key in overlayKeys) press(checkboxes.show.find(({ value }) => value === overlayKeys[key]));
  else if (/^[1-6]$/.test(key)) press(checkboxes.with[key - 1]);
  else if (key === "f") {
    const card = large.open ? cards.find(({ id }) => id === state.clip) : current;
    if (card) toggleFlag(card);
  } else if (key === "0") reset();
  else if (key === "?") keysList.showModal();
  else if (key === "/") inputs("q")[0].focus();
  else return;
  event.preventDefault();
}

for (const card of cards) {
  card.link.addEventListener("focus", () => {
    current = card;
    makeReachable(card);
  });
  card.element.addEventListener("click", (event) => {
    if (event.target.closest(".open")) event.preventDefault();
    else if (!event.target.closest(".panel, .mini")) return;
    openLarge(card);
  });
}
if (form) {
  addEventListener("keydown", onKey);
  document.getElementById("help").addEventListener("click", () => keysList.showModal());
}
start();
