// Viewers: one of the layers target, prediction, error lies on the picture, or none; how strongly is set below it.
(() => {
  const KEYS = { t: "target", p: "prediction", e: "error", n: "none" };
  const viewers = [...document.querySelectorAll("[data-viewer]")];

  function show(viewer, layer) {
    viewer.dataset.viewer = layer;
    for (const button of viewer.querySelectorAll("button[data-show]")) {
      button.setAttribute("aria-pressed", String(button.dataset.show === layer));
    }
  }

  function go(viewer, step) {
    const next = viewers[viewers.indexOf(viewer) + step];
    if (next) {
      next.focus();
      next.scrollIntoView({ block: "nearest" });
    }
  }

  function pressed(viewer, event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const layer = KEYS[event.key.toLowerCase()];
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (layer) show(viewer, layer);
    else if (step && event.target.type !== "range") go(viewer, step);
    else return;
    event.preventDefault();
  }

  for (const viewer of viewers) {
    const slider = viewer.querySelector("input[type=range]");
    const opacity = () => {
      viewer.style.setProperty("--opacity", slider.value / 100);
      viewer.querySelector("output").textContent = `${slider.value} %`;
    };
    viewer.querySelector(".tools").hidden = false;
    viewer.addEventListener("keydown", (event) => pressed(viewer, event));
    for (const button of viewer.querySelectorAll("button[data-show]")) {
      button.addEventListener("click", () => show(viewer, button.dataset.show));
    }
    slider.addEventListener("input", opacity);
    opacity(); // browsers keep a slider's place when a page is loaded again
  }
})();
