// Which cards are shown, in which order, and what is drawn on them.

const grid = document.getElementById("cards");
const cards = [...grid.querySelectorAll(".card")].map((element, place) => {
  const { id, class: label, split, group, agreement, crops } = element.dataset;
  return {
    element, place, id, label, split,
    words: `${id} ${label} ${group}`.toLowerCase(),
    agreement: agreement === undefined ? null : Number(agreement),
    crops: JSON.parse(crops),
    link: element.querySelector(".open"),
    minis: [...element.querySelectorAll(".crop")].filter((crop) => crop.querySelector(".mini")),
  };
});
const colours = Object.fromEntries(checkboxes.with.map((box) => [box.value, box.dataset.of]));
let shown = cards;

const least = (numbers) => (numbers.length ? Math.min(...numbers) : null);

/** Return the numbers of the manifests that are shown; a single one has no switch. */
const shownColours = () => (checkboxes.with.length ? values("with").map((name) => colours[name]) : ["0"]);

/** Return the crops that a card is judged by: those of one manifest, or all that are shown. */
function judged(card) {
  if (state.by in colours) return [card.crops[colours[state.by]]].filter(Boolean);
  return shownColours().map((colour) => card.crops[colour]).filter(Boolean);
}

function number(card, key) {
  if (key === "agreement") return card.agreement;
  return least(judged(card).map((crop) => crop[key]).filter((value) => value !== null));
}

function within(card, key) {
  const [low, high] = [Number(state[`min-${key}`]), Number(state[`max-${key}`])];
  if (low <= 0 && high >= 1) return true;
  const value = number(card, key);
  return value !== null && low <= value && value <= high;
}

function fits(card) {
  return (
    (!state.class || card.label === state.class) &&
    (!state.split || card.split === state.split) &&
    (!state.status || judged(card).some((crop) => crop.status === state.status)) &&
    (!state.flagged || flags().includes(card.id)) &&
    within(card, "confidence") &&
    within(card, "inside") &&
    state.q.toLowerCase().split(/\s+/).every((word) => card.words.includes(word))
  );
}

const text = { class: (card) => card.label, id: (card) => card.id };

/** Return what a card is sorted by: fallbacks before all, clips without the number behind all. */
function rank(card) {
  if (!state.sort) return [0, card.place];
  if (state.sort in text) return [0, text[state.sort](card)];
  const value = number(card, state.sort);
  const failing = state.sort !== "agreement" && judged(card).some((crop) => crop.status === "fallback");
  return failing ? [-1, value ?? 0] : value === null ? [1, 0] : [0, value];
}

function sorted(some) {
  const turn = state.order === "down" ? -1 : 1;
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  return some
    .map((card) => [card, rank(card)])
    .sort(([a, [first, x]], [b, [second, y]]) =>
      turn * (compare(first, second) || compare(x, y)) || a.place - b.place)
    .map(([card]) => card);
}

const flags = () => state.flags.split(",").filter(Boolean);

function toggleFlag(card) {
  const before = flags();
  const after = before.includes(card.id) ? before.filter((id) => id !== card.id) : [...before, card.id];
  setState({ flags: after.join(",") });
}

function showCards() {
  const order = sorted(cards);
  shown = order.filter(fits);
  const there = new Set(shown);
  for (const card of cards) card.element.hidden = !there.has(card);
  const sorting = order.some((card, place) => grid.children[place] !== card.element);
  if (sorting) grid.append(...order.map((card) => card.element));
  const flagged = flags();
  for (const card of cards) card.element.classList.toggle("flagged", flagged.includes(card.id));
  document.getElementById("none").hidden = shown.length > 0;
  document.getElementById("shown").textContent =
    `${shown.length} of ${cards.length} clips` + (flagged.length ? `, ${flagged.length} flagged` : "");
  showOverlays();
  showRanges();
  showSave(flagged);
  makeReachable(shown.find((card) => card === current) ?? shown[0]);
}

/** Hide what is not wanted: the style sheet looks for the names on <main>. */
function showOverlays() {
  const overlays = checkboxes.show.filter((box) => !box.checked).map((box) => box.value);
  const without = checkboxes.with.filter((box) => !box.checked).map((box) => `of${box.dataset.of}`);
  for (const place of [main, document.getElementById("large")]) {
    place.dataset.hide = [...(place === main ? overlays : []), ...without].join(" ");
  }
  const there = shownColours();
  if (there.length === 1) main.dataset.sole = there[0];
  else delete main.dataset.sole;
  main.dataset.size = state.size;
  if (!overlays.includes("density")) for (const card of cards) layDensity(card);
}

/** Lay a density map over a card's frame: that of the crop pointed at, else the first that is shown. */
function layDensity(card, crop) {
  const panel = card.element.querySelector(".panel");
  const chosen = crop ?? card.minis.find((mini) => shownColours().includes(mini.dataset.of));
  let heat = panel?.querySelector(".heat");
  if (!panel || !chosen) return heat?.remove();
  if (!heat) {
    heat = document.createElement("img");
    heat.className = "heat";
    heat.alt = "";
    heat.decoding = "async";
    panel.insertBefore(heat, panel.querySelector(".overlay"));
  }
  heat.src = chosen.querySelector(".heat").src;
}

function showRanges() {
  for (const output of form.querySelectorAll(".between")) {
    const key = output.dataset.range;
    const [low, high] = [state[`min-${key}`], state[`max-${key}`]];
    output.textContent = `${Number(low).toFixed(2)}–${Number(high).toFixed(2)}`;
    output.parentElement.classList.toggle("set", Number(low) > 0 || Number(high) < 1);
  }
}

function showSave(flagged) {
  const link = document.getElementById("save");
  link.hidden = !flagged.length;
  link.href = `data:text/plain;charset=utf-8,${encodeURIComponent(flagged.map((id) => `${id}\n`).join(""))}`;
}

for (const card of cards) {
  for (const crop of card.minis) {
    crop.addEventListener("pointerenter", () => {
      layDensity(card, crop);
      card.element.dataset.over = crop.dataset.of;
    });
    crop.addEventListener("pointerleave", () => {
      layDensity(card);
      delete card.element.dataset.over;
    });
  }
}
