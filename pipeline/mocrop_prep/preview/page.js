(() => {
  "use strict";
  const controls = document.getElementById("controls");
  if (!controls) return;
  const cards = [...document.querySelectorAll(".card")];
  const filters = [...controls.querySelectorAll("select")];
  const outlines = document.getElementById("outlines");
  const update = () => {
    let shown = 0;
    for (const card of cards) {
      const fits = filters.every(
        ({ value, dataset }) => !value || card.dataset[dataset.filter].split(" ").includes(value)
      );
      card.hidden = !fits;
      shown += fits;
    }
    document.getElementById("shown").textContent = `${shown} of ${cards.length} clips`;
    document.body.classList.toggle("bare", !outlines.checked);
  };
  controls.addEventListener("change", update);
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.hidden = false;
  update();
})();
