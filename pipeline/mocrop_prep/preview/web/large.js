// The large view of one clip: every picture side by side, all numbers, the stored frames.

const large = document.getElementById("large");
const largeBody = document.getElementById("large-body");

function showLarge() {
  const card = cards.find(({ id }) => id === state.clip);
  if (!card) {
    if (large.open) large.close();
    return;
  }
  fill(card);
  if (!large.open) large.showModal();
}

function fill(card) {
  const place = shown.indexOf(card);
  document.getElementById("large-title").textContent = card.id;
  document.getElementById("large-place").textContent =
    place < 0 ? "not among the clips shown" : `${place + 1} of ${shown.length}`;
  const flag = document.getElementById("large-flag");
  flag.setAttribute("aria-pressed", flags().includes(card.id));
  const chips = card.element.querySelector(".chips").cloneNode(true);
  const more = card.element.querySelector(".more");
  const notes = [...card.element.querySelectorAll(".card > .note, .card .reason")];
  const copies = (selector) => [...(more?.querySelectorAll(selector) ?? [])].map((node) => node.cloneNode(true));
  const pictures = document.createElement("div");
  pictures.className = "pictures";
  pictures.append(views(card), ...copies(".stored"));
  const words = document.createElement("div");
  words.className = "words";
  words.append(chips, ...copies(".facts"), ...notes.map((note) => note.cloneNode(true)), ...copies("table"));
  largeBody.replaceChildren(pictures, words);
  for (const image of largeBody.querySelectorAll("img")) image.loading = "eager";
  largeBody.scrollTop = 0;
}

/** Return the frame with the crops, the frame with the arrows, and the frame under each density map. */
function views(card) {
  const row = document.createElement("div");
  row.className = "views";
  const panel = card.element.querySelector(".panel");
  if (!panel) return row;
  const frame = Number(panel.dataset.frame);
  row.append(view(panel, `frame ${frame}`, "arrows density"));
  if (panel.querySelector(".arrows")) row.append(view(panel, `motion to frame ${frame + 1}`, "crop actor density"));
  for (const crop of card.minis) {
    const name = crop.querySelector("h4").cloneNode(true);
    name.append(" density");
    const figure = view(panel, name, "arrows actor");
    const picture = figure.querySelector(".panel");
    picture.querySelector(".heat")?.remove();
    const heat = crop.querySelector(".heat").cloneNode();
    picture.insertBefore(heat, picture.querySelector(".overlay"));
    for (const outline of picture.querySelectorAll(".casing, .outline")) {
      if (outline.dataset.of !== crop.dataset.of) outline.remove();
      outline.classList.add("dash0"); // alone, it need not give way to others
    }
    figure.dataset.of = crop.dataset.of;
    figure.classList.add("dimmed");
    row.append(figure);
  }
  return row;
}

function view(panel, caption, hidden) {
  const figure = document.createElement("figure");
  const words = document.createElement("figcaption");
  words.append(caption);
  figure.dataset.hide = hidden;
  figure.append(words, panel.cloneNode(true));
  return figure;
}

function openLarge(card) {
  current = card;
  setState({ clip: card.id }, true);
}

function step(by) {
  const place = shown.findIndex(({ id }) => id === state.clip);
  const next = shown[Math.min(Math.max(place + by, 0), shown.length - 1)];
  if (!next || next.id === state.clip) return;
  current = next;
  setState({ clip: next.id });
}

document.getElementById("large-before").addEventListener("click", () => step(-1));
document.getElementById("large-next").addEventListener("click", () => step(1));
document.getElementById("large-close").addEventListener("click", () => large.close());
document.getElementById("large-flag").addEventListener("click", () => {
  const card = cards.find(({ id }) => id === state.clip);
  if (card) toggleFlag(card);
});
large.addEventListener("click", ({ target }) => {
  if (target === large) large.close(); // a press beside it
});
large.addEventListener("close", () => {
  const card = cards.find(({ id }) => id === state.clip) ?? current;
  if (state.clip) setState({ clip: "" });
  go(card);
});
