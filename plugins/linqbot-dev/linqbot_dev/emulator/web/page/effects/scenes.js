// The screen effects, painted. The place of each particle is a function of the time alone. A dropped frame changes
// nothing, and a scene has no state but its random start.

import {
  between,
  clamp,
  DEEP_GOLD,
  dim,
  fade,
  GOLD,
  heart,
  line,
  many,
  PARTY,
  PINK,
  pick,
  star,
  TAU,
} from "./painting.js";

/** @import { Stage } from "./painting.js" */

/**
 * A scene for one stage. `paint` paints the frame at `t` seconds.
 * @typedef {{ seconds: number, paint: (context: CanvasRenderingContext2D, t: number) => void }} Scene
 */

/**
 * @param {Stage} stage
 * @param {number} [count]
 * @returns {Scene}
 */
function confetti({ width, height }, count = 260) {
  const seconds = 4;
  const pieces = many(count, () => ({
    x: between(0, width),
    start: between(-0.2, 1.6),
    speed: between(0.42, 0.8) * height,
    sway: between(8, 34),
    turn: between(3, 9),
    spin: between(-4, 4),
    phase: between(0, TAU),
    size: between(5, 10),
    colour: pick(PARTY),
    round: Math.random() < 0.2,
  }));
  return {
    seconds,
    paint(context, t) {
      for (const p of pieces) {
        const age = t - p.start;
        if (age < 0) continue;
        context.save();
        context.globalAlpha = clamp((seconds - t) / 0.5);
        context.translate(p.x + Math.sin(age * 2.2 + p.phase) * p.sway, -20 + age * p.speed);
        context.rotate(p.phase + age * p.spin);
        context.scale(Math.cos(age * p.turn + p.phase), 1); // a flake turning over, seen from the front
        context.fillStyle = p.colour;
        if (p.round) {
          context.beginPath();
          context.arc(0, 0, p.size / 2, 0, TAU);
          context.fill();
        } else context.fillRect(-p.size / 2, -p.size / 3, p.size, p.size * 0.66);
        context.restore();
      }
    },
  };
}

/**
 * @param {Stage} stage
 * @returns {Scene}
 */
function fireworks(stage) {
  const { width, height } = stage;
  const seconds = 4.6;
  const rockets = many(8, (i) => {
    const hue = between(0, 360);
    return {
      x: between(0.15, 0.85) * width,
      y: between(0.14, 0.5) * height,
      at: 0.5 + i * 0.4 + between(0, 0.2),
      sparks: many(84, () => ({
        angle: between(0, TAU),
        speed: between(0.25, 1) ** 0.5 * between(95, 150),
        hue: hue + between(-22, 22),
      })),
    };
  });
  return {
    seconds,
    paint(context, t) {
      dim(context, stage, 0.72 * fade(t, seconds));
      context.globalCompositeOperation = "lighter";
      context.lineCap = "round";
      for (const rocket of rockets) {
        const age = t - rocket.at;
        if (age > -0.5 && age < 0) {
          const y = rocket.y + (height - rocket.y) * (-age / 0.5) ** 1.6;
          context.strokeStyle = "rgb(255 220 160 / .8)";
          context.lineWidth = 2;
          line(context, rocket.x, y + 26, rocket.x, y);
        }
        if (age < 0 || age > 1.5) continue;
        const spread = 1 - Math.exp(-3.2 * age);
        const before = 1 - Math.exp(-3.2 * Math.max(0, age - 0.07));
        for (const spark of rocket.sparks) {
          const [dx, dy] = [Math.cos(spark.angle) * spark.speed, Math.sin(spark.angle) * spark.speed];
          context.strokeStyle = `hsl(${spark.hue} 100% 66% / ${clamp(1.4 - age)})`;
          context.lineWidth = 2.4 * clamp(1.5 - age);
          line(
            context,
            rocket.x + dx * before,
            rocket.y + dy * before + 42 * age * age,
            rocket.x + dx * spread,
            rocket.y + dy * spread + 46 * age * age,
          );
        }
      }
    },
  };
}

/**
 * @param {Stage} stage
 * @returns {Scene}
 */
function lasers(stage) {
  const { width, height, origin } = stage;
  const seconds = 3.8;
  const beams = many(16, (i) => ({
    hue: (i * 360) / 16,
    angle: (i * TAU) / 16,
    swing: between(0.5, 1.1),
    pace: between(1.4, 2.6),
    phase: between(0, TAU),
  }));
  return {
    seconds,
    paint(context, t) {
      const strength = fade(t, seconds);
      dim(context, stage, 0.82 * strength);
      context.globalCompositeOperation = "lighter";
      const reach = width + height;
      for (const beam of beams) {
        const angle = beam.angle + Math.sin(t * beam.pace + beam.phase) * beam.swing;
        const hue = (beam.hue + t * 90) % 360;
        const [x, y] = [origin.x + Math.cos(angle) * reach, origin.y + Math.sin(angle) * reach];
        const flicker = 0.55 + 0.45 * Math.sin(t * 13 + beam.phase);
        for (const [wide, alpha] of [
          [16, 0.1],
          [7, 0.22],
          [2, 0.95],
        ]) {
          context.strokeStyle = `hsl(${hue} 100% 62% / ${alpha * strength * flicker})`;
          context.lineWidth = wide;
          line(context, origin.x, origin.y, x, y);
        }
      }
    },
  };
}

/**
 * @param {Stage} stage
 * @returns {Scene}
 */
function sparkles(stage) {
  const { width, height } = stage;
  const seconds = 4;
  const stars = many(170, () => ({
    x: between(-0.1, 1.1) * width,
    y: between(-0.05, 1) * height,
    at: between(0, 2.9),
    life: between(0.5, 1.1),
    size: between(4, 17),
    drift: between(10, 50),
    colour: pick(stage.isDark ? GOLD : DEEP_GOLD),
  }));
  return {
    seconds,
    paint(context, t) {
      // In daylight the screen stays bright, as on a phone, and the stars are a deeper gold.
      if (stage.isDark) context.globalCompositeOperation = "lighter";
      for (const s of stars) {
        const age = (t - s.at) / s.life;
        if (age < 0 || age > 1) continue;
        context.globalAlpha = Math.sin(age * Math.PI);
        context.fillStyle = s.colour;
        star(context, s.x - age * s.drift, s.y + age * s.drift, s.size * Math.sin(age * Math.PI));
      }
    },
  };
}

/**
 * @param {Stage} stage
 * @returns {Scene}
 */
function celebration(stage) {
  const { width, height } = stage;
  const seconds = 4;
  const sparks = many(260, (i) => ({
    left: i % 2 === 0,
    at: between(0, 2.3),
    speed: between(0.75, 1.25) * height,
    angle: between(0.95, 1.42),
    life: between(0.9, 1.5),
    size: between(1.2, 3.2),
    colour: pick(stage.isDark ? GOLD : DEEP_GOLD),
  }));
  return {
    seconds,
    paint(context, t) {
      if (stage.isDark) context.globalCompositeOperation = "lighter";
      context.lineCap = "round";
      /** @returns {[number, number]} */
      const place = (/** @type {(typeof sparks)[0]} */ s, /** @type {number} */ age) => {
        const out = Math.cos(s.angle) * s.speed * age;
        return [s.left ? out : width - out, height - Math.sin(s.angle) * s.speed * age + 0.62 * height * age * age];
      };
      for (const s of sparks) {
        const age = t - s.at;
        if (age < 0 || age > s.life) continue;
        context.strokeStyle = s.colour;
        context.globalAlpha = clamp((s.life - age) / 0.5);
        context.lineWidth = s.size;
        line(context, ...place(s, Math.max(0, age - 0.045)), ...place(s, age));
      }
    },
  };
}

/**
 * @param {Stage} stage
 * @returns {Scene}
 */
function hearts({ width, height, origin }) {
  const seconds = 4;
  const all = many(40, () => ({
    x: origin.x + between(-0.22, 0.22) * width,
    at: between(0, 2),
    rise: between(0.4, 0.7) * height,
    sway: between(10, 40),
    phase: between(0, TAU),
    size: between(16, 46),
    colour: pick(PINK),
  }));
  return {
    seconds,
    paint(context, t) {
      for (const p of all) {
        const age = t - p.at;
        if (age < 0) continue;
        context.globalAlpha = clamp(age * 4) * clamp((1.9 - age) / 0.6);
        const size = p.size * (0.4 + 0.6 * clamp(age * 3));
        heart(
          context,
          p.x + Math.sin(age * 2.4 + p.phase) * p.sway,
          origin.y - age * p.rise,
          size,
          p.colour,
          Math.sin(age * 2 + p.phase) * 0.25,
        );
      }
    },
  };
}

/**
 * @param {Stage} stage
 * @returns {Scene}
 */
function love({ width, height, origin }) {
  const seconds = 3.6;
  return {
    seconds,
    paint(context, t) {
      const grow = 1 - (1 - clamp(t / 1.1)) ** 3;
      const beat = 1 + 0.07 * Math.sin(t * 9) * clamp((t - 0.8) * 3);
      const away = clamp((t - 2.5) / 1.1) ** 2;
      const x = origin.x + (width / 2 - origin.x) * grow + Math.sin(t * 5) * 18 * away;
      const y = origin.y + (height * 0.42 - origin.y) * grow - away * height;
      context.shadowColor = "rgb(255 45 85 / .45)";
      context.shadowBlur = 40;
      heart(
        context,
        x,
        y,
        Math.max(1, width * 0.66 * grow * beat * (1 - 0.4 * away)),
        "#ff2d55",
        Math.sin(t * 2) * 0.06,
      );
    },
  };
}

/**
 * @param {Stage} stage
 * @param {number} [count]
 * @returns {Scene}
 */
function balloons({ width, height }, count = 24) {
  const seconds = 5;
  const all = many(count, () => ({
    x: between(-0.05, 1.05) * width,
    at: between(0, 1.7),
    speed: between(0.3, 0.5) * height,
    sway: between(6, 22),
    phase: between(0, TAU),
    size: between(26, 46),
    colour: pick(PARTY),
  }));
  all.sort((a, b) => a.size - b.size);
  return {
    seconds,
    paint(context, t) {
      for (const b of all) {
        const age = t - b.at;
        if (age < 0) continue;
        const x = b.x + Math.sin(age * 1.5 + b.phase) * b.sway;
        const y = height + b.size * 2 - age * age * 0.11 * height - age * b.speed;
        context.strokeStyle = "rgb(140 140 150 / .7)";
        context.lineWidth = 1;
        context.beginPath();
        context.moveTo(x, y + b.size * 1.15);
        context.quadraticCurveTo(x + Math.sin(age * 3 + b.phase) * 12, y + b.size * 1.9, x, y + b.size * 2.7);
        context.stroke();
        const shine = context.createRadialGradient(
          x - b.size * 0.35,
          y - b.size * 0.45,
          b.size * 0.08,
          x,
          y,
          b.size * 1.25,
        );
        shine.addColorStop(0, "rgb(255 255 255 / .9)");
        shine.addColorStop(0.28, b.colour);
        shine.addColorStop(1, b.colour);
        context.fillStyle = shine;
        context.globalAlpha = 0.93;
        context.beginPath();
        context.ellipse(x, y, b.size * 0.86, b.size * 1.08, 0, 0, TAU);
        context.moveTo(x - 5, y + b.size * 1.18);
        context.lineTo(x + 5, y + b.size * 1.18);
        context.lineTo(x, y + b.size * 1.02);
        context.fill();
        context.globalAlpha = 1;
      }
    },
  };
}

/**
 * @param {Stage} stage
 * @returns {Scene}
 */
function happyBirthday(stage) {
  const { width, height } = stage;
  const flying = balloons(stage, 16);
  const falling = confetti(stage, 90);
  const words = ["Happy", "Birthday!"];
  return {
    seconds: flying.seconds,
    paint(context, t) {
      flying.paint(context, t);
      falling.paint(context, Math.min(t, falling.seconds));
      const size = width * 0.17;
      context.font = `800 ${size}px ui-rounded, -apple-system, "Segoe UI", Arial, sans-serif`;
      context.textBaseline = "middle";
      context.lineJoin = "round";
      words.forEach((word, row) => {
        let x = (width - context.measureText(word).width) / 2;
        [...word].forEach((letter, i) => {
          const shown = clamp((t - 0.3 - (row * 5 + i) * 0.08) * 5) * clamp((flying.seconds - t) / 0.5);
          const y = height * 0.36 + row * size * 1.1 + Math.sin(t * 4 + i * 0.7) * 7 + (1 - shown) * 40;
          context.globalAlpha = shown;
          context.lineWidth = 7;
          context.strokeStyle = "#fff";
          context.strokeText(letter, x, y);
          context.fillStyle = PARTY[(i + row * 3) % PARTY.length];
          context.fillText(letter, x, y);
          x += context.measureText(letter).width;
        });
      });
    },
  };
}

/**
 * @param {Stage} stage
 * @returns {Scene}
 */
function spotlight(stage) {
  const { width, height, origin } = stage;
  const seconds = 3.6;
  const radius = Math.max(origin.width, origin.height) * 0.62 + 34;
  return {
    seconds,
    paint(context, t) {
      const strength = fade(t, seconds, 0.5, 0.7);
      const search = Math.max(0, 1 - t / 1.3);
      const x = origin.x + Math.sin(t * 5) * width * 0.4 * search;
      const y = origin.y - height * 0.3 * search + Math.cos(t * 4) * 40 * search;
      dim(context, stage, 0.86 * strength);
      const hole = context.createRadialGradient(x, y, radius * 0.72, x, y, radius);
      hole.addColorStop(0, "rgb(0 0 0 / 1)");
      hole.addColorStop(1, "rgb(0 0 0 / 0)");
      context.globalCompositeOperation = "destination-out";
      context.fillStyle = hole;
      context.fillRect(0, 0, width, height);
      context.globalCompositeOperation = "source-over";
      const beam = context.createLinearGradient(0, 0, x, y);
      beam.addColorStop(0, `rgb(255 250 225 / ${0.34 * strength})`);
      beam.addColorStop(1, "rgb(255 250 225 / 0)");
      context.fillStyle = beam;
      context.beginPath();
      context.moveTo(width / 2 - 14, -10);
      context.lineTo(width / 2 + 14, -10);
      context.lineTo(x + radius * 0.85, y);
      context.lineTo(x - radius * 0.85, y);
      context.fill();
    },
  };
}

/** @type {Record<string, (stage: Stage) => Scene>} The scenes, by the names of Linq's screen effects, in the order of the picker. */
export const SCENES = {
  spotlight,
  balloons,
  confetti,
  love,
  lasers,
  fireworks,
  celebration,
  sparkles,
  hearts,
  happy_birthday: happyBirthday,
};

/**
 * Make the scene of a screen effect. The effect `echo` has none.
 * @param {string} name
 * @param {Stage} stage
 */
export const makeScene = (name, stage) => SCENES[name]?.(stage);
