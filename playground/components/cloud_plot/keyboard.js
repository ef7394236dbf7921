/** Everything that hands do on a plot, by keyboard: arrows move a crosshair, Enter acts with the tool, Escape lets go. */

const STEP = [0.02, 0.1]; // of the width, for an arrow key without and with Shift
const TURN = [5, 15]; // degrees
const SPRAYED = 10; // points for a press of Enter
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Listens on `canvas`. `plot` as in gestures.js, `acts` what gestures do. Returns `{ letGo }`. */
export function keyboard(canvas, plot, { tool, data, clamp, brush, movable, look, spray, erase }) {
  const { live, on } = plot;

  function grabNearest() {
    const scene = plot.scene();
    if (!movable() || scene.d === 3) return;
    const [x, y] = live.cursor;
    const far = (label) => Math.hypot(label.x - x, scene.d === 1 ? 0 : label.y - y);
    const [near] = [...scene.labels].sort((a, b) => far(a) - far(b));
    if (!near) return;
    live.carried = live.hovered = near.component;
    live.cursor = [near.x, near.y];
  }

  function letGo() {
    if (live.carried === null) return;
    const component = live.carried;
    live.carried = null;
    on.mean?.(component, data(live.cursor), true);
  }

  function act() {
    const { width } = plot.scene().frame;
    const now = tool();
    if (now === "add") on.add?.([data(live.cursor)]);
    else if (now === "spray") spray(live.cursor, SPRAYED);
    else if (now === "erase") erase(live.cursor, live.cursor);
    else if (now === "move") live.carried === null ? grabNearest() : letGo();
    else look(live.cursor, width * 0.04);
  }

  function key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const scene = plot.scene();
    const by = ARROWS[event.key];
    const { width, height } = scene.frame;
    if (by && scene.d === 3) plot.turn(by[0] * TURN[+event.shiftKey], by[1] * TURN[+event.shiftKey]);
    else if (by) {
      const step = STEP[+event.shiftKey] * width;
      const from = live.cursor ?? [width / 2, height / 2];
      live.cursor = clamp([from[0] + by[0] * step, from[1] + by[1] * step]);
      if (live.carried !== null) on.mean?.(live.carried, data(live.cursor), false);
      else if (tool() === "look" || tool() === "move") look(live.cursor, 12);
    } else if ((event.key === "Enter" || event.key === " ") && scene.d < 3) {
      live.cursor ??= [width / 2, height / 2];
      act();
    } else if (event.key === "Escape" && (live.cursor || live.carried !== null)) {
      letGo();
      live.cursor = null;
      look(null);
    } else return;
    live.brush = live.cursor && brush(live.cursor);
    event.preventDefault();
    event.stopPropagation();
    plot.touch();
  }
  canvas.addEventListener("keydown", key);
  canvas.addEventListener("blur", () => {
    letGo();
    live.cursor = null;
    plot.touch();
  });

  return { letGo };
}
