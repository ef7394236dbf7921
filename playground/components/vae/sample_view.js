/** Samples from the prior: a grid whose tiles are tied to their dots on the map. */
import { ask, bytes, latentsAndPictures, newest } from "../lib/api.js";
import { fill, m, number } from "../lib/dom.js";
import { sheet } from "../lib/pixels.js";
import { imageGrid } from "../image_grid/image_grid.js";

export function sampleView(host, reading, stage) {
  const { text } = stage;
  let shown = { z: [], pixels: new Uint8Array(), n: 0 };
  let dotsOn = true;
  const grid = imageGrid(host, { label: text.grid, pick, hover: (i) => stage.pad?.near(i) });
  reading.className = "formula";

  /** What is to be fetched for the settings of now. */
  function asked() {
    const { seed, n, spread, show: what } = stage.settings();
    return { name: stage.model().name, latent: stage.model().latent, query: { seed, n, spread, show: what } };
  }
  const key = (one) => JSON.stringify(one);

  let paling = 0; // pictures of other settings pale, where the new ones are not there at once
  const fetchSamples = newest(async ({ name, latent, query }) => {
    const began = performance.now();
    const response = await ask("sample", { query: { model: name, ...query } });
    const found = latentsAndPictures(await response.arrayBuffer(), latent, 784);
    if (key(asked()) !== key({ name, latent, query })) return; // settings have moved on since
    stage.fine();
    stage.setBadge("live");
    stage.took(performance.now() - began);
    show(found);
  }, stage.failed);

  function show(found) {
    shown = found;
    clearTimeout(paling);
    host.classList.remove("stale");
    const settings = stage.settings();
    const picked = Math.min(settings.pick, found.n - 1);
    grid.show(found.pixels, found.n, (i) => fill(text.tile, { n: i + 1, z: stage.zText(found.z[i]) }));
    grid.choose(picked);
    host.dataset.seed = settings.seed;
    dots(dotsOn);
    if (settings.view !== "picture" && settings.z.length !== stage.model().latent) stage.goTo(found.z[picked], { quiet: true });
    formula();
    stage.say(fill(text.summary, { n: found.n, data: stage.model().title, seed: settings.seed, spread: number(settings.spread) }));
  }

  function dots(on) {
    dotsOn = on;
    const picked = Math.min(stage.settings().pick, shown.n - 1);
    stage.pad?.dots(on ? shown.z.map(stage.plane2) : [], picked);
  }

  function pick(i) {
    if (!shown.z[i]) return;
    stage.choose({ pick: i, z: [] });
    grid.choose(i);
    dots(dotsOn);
    stage.goTo(shown.z[i], { quiet: true });
    formula();
  }

  /** z ~ N(0, spread² I) = these numbers, then the decoder. */
  function formula() {
    const { spread, show: what, pick: i } = stage.settings();
    const z = shown.z[Math.min(i, shown.n - 1)];
    if (!z) return;
    const identity = spread === 1 ? [m("mi", "I")] : [m("msup", [m("mn", number(spread)), m("mn", "2")]), m("mi", "I")];
    const drawn = z.length <= 3 ? m("mrow", [m("mo", "="), m("mo", "("), ...z.flatMap((v, k) => [...(k ? [m("mo", ",")] : []), m("mn", number(Number(v.toFixed(4))), "symbol-z")]), m("mo", ")")]) : m("mrow", []);
    const then = what === "mean"
      ? [m("mi", "x", "symbol-x"), m("mo", "="), m("mi", "E"), m("mo", "["), m("mi", "x", "symbol-x"), m("mo", "|"), m("mi", "z", "symbol-z"), m("mo", "]")]
      : [m("mi", "x", "symbol-x"), m("mo", "∼"), m("mi", "p", "symbol-p"), m("mo", "("), m("mi", "x", "symbol-x"), m("mo", "|"), m("mi", "z", "symbol-z"), m("mo", ")"), m("mo", "="), m("mtext", `${text.rounded}\u00a0`), m("mi", "N", "symbol-p"), m("mo", "("), m("mi", "μ", "symbol-p"), m("mo", "("), m("mi", "z", "symbol-z"), m("mo", ")"), m("mo", ","), m("msup", [m("mn", number(stage.model().scale, 0)), m("mn", "2")]), m("mo", ")"), m("mtext", text.grey_levels)];
    reading.tabIndex = 0;
    reading.replaceChildren(m("math", [
      m("mtext", `${fill(text.sample_number, { n: Math.min(i, shown.n - 1) + 1 })}\u00a0`), m("mi", "z", "symbol-z"), m("mo", "∼"), m("mi", "N", "symbol-p"), m("mo", "("), m("mn", "0"), m("mo", ","), ...identity, m("mo", ")"), drawn,
      m("mo", "⟶"), ...then,
    ]));
  }

  return {
    update(changed, first) {
      const { pick: picked } = stage.settings();
      const recording = stage.page.recording;
      if (first && recording && Object.entries(recording.settings).every(([key, value]) => stage.settings()[key] === value)) {
        const pixels = bytes(recording.pixels);
        show({ n: recording.z.length, z: recording.z, pixels });
        stage.setBadge("recorded");
        return;
      }
      if (changed("data", "latent", "seed", "n", "spread", "show")) {
        clearTimeout(paling);
        paling = setTimeout(() => host.classList.add("stale"), 150);
        fetchSamples(asked());
      } else if (changed("pick", "across", "down", "z")) {
        grid.choose(Math.min(picked, shown.n - 1));
        dots(dotsOn);
        formula();
      }
    },
    /** The same seed again: asked of the server, and the same to the bit. */
    again() {
      grid.flash();
      fetchSamples(asked());
    },
    pick,
    near: (i) => grid.near(i),
    dots,
    picture: () => shown.pixels.slice(Math.min(stage.settings().pick, shown.n - 1) * 784).slice(0, 784),
    json: () => ({ samples: shown.z }),
    async png(save) {
      const { seed } = stage.settings();
      save(`${stage.model().name}-seed-${seed}.png`, await sheet(shown.pixels, shown.n).convertToBlob({ type: "image/png" }));
    },
  };
}
