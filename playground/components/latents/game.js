/**
 * The goal game of the sliders: match a picture by hand, then see the encoder's answer, and that answer refined by gradient.
 *
 * The score of a picture y against the target t is the share of the way from the picture at z = 0, b:
 *
 *     1 − Σ (t − y)² / Σ (t − b)²
 *
 * over all grey levels as they are shown: 1 for the target itself, 0 for b, below 0 for what is further away than b.
 */
import { ask, bytes } from "../lib/api.js";
import { fill, h, number } from "../lib/dom.js";
import { paintPicture, toScan } from "../pixels/stream.js";

const FRAME = 80; // ms that a step of the refinement is shown
const FRAMES = 32; // of its steps, at most

/** Σ (a − b)² over bytes. */
export function squaredError(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
}

/** See above; where the target is the picture at z = 0 itself, 1 for it and 0 for all others. */
export function score(target, picture, blank) {
  const error = squaredError(target, picture);
  const whole = squaredError(target, blank);
  if (!whole) return error ? 0 : 1;
  return 1 - error / whole;
}

/**
 * panel, scores, canvas: where the game, its score and the target stand. hooks: model(); decode(latents) → a picture's planes each; goTo(z); show(z, planes)
 * paints one frame on the way; change(patch); fail(error); still(): whether motion is unwanted.
 */
export function goalGame({ panel, canvas, scores }, { text, hooks }) {
  const names = ["you", "encoder", "refined"];
  let play = null; // { goal, model, target, blank, moves, answers: {you, encoder, refined} }
  let wanted = 0; // the number of the game that is to be shown; 0: none
  let way = 0; // of an animation in progress
  const percent = (value) => `${number(100 * value, value > 0.995 && value < 1 ? 1 : 0)} %`;

  const scoreNow = h("b", { class: "ls-score" });
  const moves = h("span", { class: "soft" });
  const kind = h("p", { class: "soft" });
  const rows = Object.fromEntries(names.map((name) => [name, row(name)]));
  const encoder = h("button", { type: "button", "data-act": "encoder", onclick: () => answer().catch(hooks.fail) }, text.encoder);
  const refine = h("button", { type: "button", "data-act": "refine", onclick: () => climb().catch(hooks.fail) }, text.refine);
  const next = h("button", { type: "button", "data-act": "next", onclick: () => hooks.change({ goal: (wanted % 9999) + 1 }) }, text.next);
  const leave = h("button", { type: "button", "data-act": "leave", onclick: () => hooks.change({ goal: 0 }) }, text.leave);
  const climbed = h("p", { class: "soft", "data-reading": "climbed" });
  const said = h("p", { class: "hidden-text", role: "status" });
  scores.append(scoreNow, moves);
  panel.append(h("p", { class: "soft" }, text.score_is),
    h("div", { class: "ls-answers", role: "group", "aria-label": text.answers }, ...names.map((name) => rows[name].element)), climbed,
    h("div", { class: "ls-buttons" }, encoder, refine, next, leave), kind, said);

  /** One of the three answers: pressed, its z is taken up again. */
  function row(name) {
    const picture = h("canvas", { width: 1, height: 1 });
    const value = h("b", {});
    const element = h("button", { type: "button", "data-answer": name, disabled: true, onclick: () => {
      way += 1;
      hooks.goTo(play.answers[name].z);
    } }, picture, h("span", {}, text[`answer_${name}`]), value);
    return { element, picture, value };
  }

  const paintOn = (one, planes) => paintPicture(one, toScan(planes, play.model.shape), play.model.shape, play.model.levels);

  function draw() {
    if (!play) return;
    for (const name of names) {
      const found = play.answers[name];
      rows[name].element.disabled = !found;
      rows[name].value.textContent = found ? percent(found.score) : "–";
      if (found) paintOn(rows[name].picture, found.planes);
      else rows[name].picture.width = rows[name].picture.height = 1;
    }
    refine.disabled = !play.answers.encoder;
    moves.textContent = fill(play.moves === 1 ? text.move : text.moves, { n: play.moves });
  }

  /** Fetches target number `goal`, unless it is there; 0 ends the game. */
  async function start(goal) {
    const model = hooks.model();
    way += 1;
    wanted = goal;
    panel.hidden = scores.hidden = !goal;
    if (!goal) play = null;
    if (!goal || (play?.goal === goal && play.model.name === model.name)) return;
    play = null;
    const { pixels, kind: what } = await (await ask("latents/target", { query: { model: model.name, goal } })).json();
    const [blank] = await hooks.decode([Array(model.latent).fill(0)]);
    if (wanted !== goal || hooks.model().name !== model.name) return;
    play = { goal, model, target: bytes(pixels), blank, moves: 0, answers: {} };
    paintOn(canvas, play.target);
    canvas.dataset.goal = goal;
    kind.textContent = text.kinds[what];
    climbed.textContent = "";
    draw();
    hooks.ready();
  }

  /** A picture was painted for z: its score. `own`: made by hand. */
  function painted(z, planes, own) {
    if (!play || play.model.name !== hooks.model().name) return;
    const now = score(play.target, planes, play.blank);
    scoreNow.textContent = percent(now);
    scoreNow.dataset.score = now;
    if (own && !(play.answers.you?.score >= now)) play.answers.you = { z: [...z], planes: planes.slice(), score: now };
    draw();
  }

  async function take(name, z, more = {}) {
    const at = play;
    const [planes] = await hooks.decode([z]);
    if (play !== at) return;
    at.answers[name] = { z, planes, score: score(at.target, planes, at.blank), ...more };
    draw();
    said.textContent = fill(text.said, { name: text[`answer_${name}`], score: percent(at.answers[name].score) });
  }

  /** The encoder's mean, as the sliders can say it. */
  async function answer() {
    const at = play;
    if (!at) return;
    const found = await (await ask("latents/encode", { query: { model: at.model.name }, body: at.target })).json();
    if (play !== at) return;
    const z = found.mean.map(hooks.rounded);
    await take("encoder", z);
    if (play === at) hooks.goTo(z);
  }

  /** From there upwards: the sliders go along, the score is that of the pictures on the way. */
  async function climb() {
    const at = play;
    if (!at) return;
    const mine = (way += 1);
    refine.disabled = true;
    let found;
    try {
      found = await (await ask("latents/refine", { query: { model: at.model.name }, body: at.target })).json();
    } finally {
      refine.disabled = false;
    }
    if (play !== at) return;
    const every = Math.max(1, Math.ceil((found.path.length - 1) / FRAMES));
    const path = found.path.filter((_, i) => i % every === 0 || i === found.path.length - 1).map((z) => z.map(hooks.rounded));
    const pictures = await hooks.decode(path);
    if (play !== at) return;
    climbed.textContent = fill(text.climbed, { n: found.path.length - 1, from: number(found.log_joint[0], 1), to: number(found.log_joint.at(-1), 1) });
    for (let i = 0; i < path.length && !hooks.still(); i++) {
      if (mine !== way || play !== at) break;
      hooks.show(path[i], pictures[i]);
      await new Promise((resolve) => setTimeout(resolve, FRAME));
    }
    if (play !== at) return;
    await take("refined", path.at(-1), { log_joint: found.log_joint.at(-1) });
    if (mine === way && play === at) hooks.goTo(path.at(-1));
  }

  return {
    start,
    painted,
    on: () => wanted > 0,
    /** A hand takes a slider: no animation goes on against it. */
    touched: () => (way += 1),
    /** A hand lets go of one. */
    moved() {
      if (!play) return;
      play.moves += 1;
      draw();
    },
    json: () => play && {
      goal: play.goal, moves: play.moves,
      answers: Object.fromEntries(Object.entries(play.answers).map(([name, { z, score: value }]) => [name, { z, score: value }])),
    },
  };
}
