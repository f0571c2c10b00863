// Hand-made optimizers racing over a surface.  The page holds the numbers: a
// <div class="rnn-race"> with JSON inside, written by race_html() in book/figures/learning.py:
// {steps, grounds: {name: {start, box, lines}}, rules: {name: {rate, colour, dashed}}}.
// The walks are computed here, so that rates can be changed; a test holds them against Python's.
// Without this script the sentence in the <div> stays.
(window.rnnWidgets = window.rnnWidgets || []).push([".rnn-race", (shared) => {
  "use strict";

  const { element, slider, onResize } = shared;

  const VALUE = {
    valley: ([x, y]) => 0.5 * (x * x + 30 * y * y),
    bend: ([x, y]) => (1 - x) ** 2 + 8 * (y - x * x) ** 2,
    saddle: ([x, y]) => 0.5 * (x * x - y * y) + 0.25 * y ** 4 + 0.25,
  };
  const GRADIENT = {
    valley: ([x, y]) => [x, 30 * y],
    bend: ([x, y]) => [2 * (x - 1) - 32 * x * (y - x * x), 16 * (y - x * x)],
    saddle: ([x, y]) => [x, y ** 3 - y],
  };

  // One coordinate's step: (theta, d, state, t, rate) => [theta, state].  Equations (7.1)-(7.8).
  function adam(decay) {
    return (theta, d, [m, s], t, a) => {
      m = 0.9 * m + 0.1 * d;
      s = 0.99 * s + 0.01 * d * d;
      const root = Math.sqrt(s / (1 - 0.99 ** t)) + 1e-8;
      return [(1 - a * decay) * theta - a * m / (1 - 0.9 ** t) / root, [m, s]];
    };
  }
  function momentum(mu, ahead) {
    return (theta, d, [v], t, a) => {
      v = mu * v + d;
      return [theta - a * (ahead ? d + mu * v : v), [v]];
    };
  }
  const STEP = {
    SGD: momentum(0, false),
    momentum: momentum(0.9, false),
    Nesterov: momentum(0.9, true),
    AdaGrad: (theta, d, [s], t, a) => {
      s += d * d;
      return [theta - a * d / (Math.sqrt(s) + 1e-8), [s]];
    },
    RMSprop: (theta, d, [s], t, a) => {
      s = 0.9 * s + 0.1 * d * d;
      return [theta - a * d / (Math.sqrt(s) + 1e-8), [s]];
    },
    Adam: adam(0),
    AdamW: adam(0.1),
    AdaBound: (theta, d, [m, s], t, a) => {
      m = 0.9 * m + 0.1 * d;
      s = 0.99 * s + 0.01 * d * d;
      const low = 0.05 * (1 - 1 / (0.1 * t + 1));
      const high = 0.05 * (1 + 1 / (0.1 * t));
      const each = Math.min(Math.max(a / (Math.sqrt(s) + 1e-8), low), high) / Math.sqrt(t);
      return [theta - each * m, [m, s]];
    },
  };

  function walk(rule, ground, start, rate, steps) {
    let at = start.slice();
    let states = [[0, 0], [0, 0]];
    const path = [at];
    for (let t = 1; t <= steps; t += 1) {
      const d = GRADIENT[ground](at);
      const moved = at.map((theta, i) => STEP[rule](theta, d[i], states[i], t, rate));
      at = moved.map(([theta]) => theta);
      states = moved.map(([, state]) => state);
      path.push(at);
    }
    return path;
  }

  function html(name, parent, properties) {
    const made = document.createElement(name);
    Object.assign(made, properties);
    parent.append(made);
    return made;
  }

  function spoken(value) {
    if (!Number.isFinite(value) || value > 1e6) return "beyond all bounds";
    if (value === 0) return "0";
    if (Math.abs(value) >= 0.001) return String(Number(value.toPrecision(3)));
    const [mantissa, exponent] = value.toExponential(1).split("e");
    return `${mantissa} × 10^${Number(exponent)}`;
  }

  function start(root, number) {
    const data = JSON.parse(root.querySelector("script").textContent);
    const names = Object.keys(data.rules);
    const prefix = `rnn-race-${number}`;
    root.textContent = "";
    root.classList.add("rnn-widget");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "A race of optimizers");

    const choice = html("label", root, { htmlFor: `${prefix}-ground` });
    choice.append("Surface");
    const ground = html("select", choice, { id: `${prefix}-ground` });
    Object.keys(data.grounds).forEach((name) => html("option", ground, { value: name, text: name }));

    const list = html("fieldset", root, { className: "rnn-race-rules" });
    html("legend", list, { textContent: "Optimizers" });
    const boxes = names.map((name, i) => {
      const label = html("label", list, {});
      const box = html("input", label, { type: "checkbox", value: name });
      box.checked = [0, 2, 4, 5].includes(i);
      const swatch = element("svg", { width: 22, height: 10, "aria-hidden": "true" }, label);
      element("line", {
        x1: 0, x2: 22, y1: 5, y2: 5, stroke: data.rules[name].colour, "stroke-width": 3,
        "stroke-dasharray": data.rules[name].dashed ? "5 3" : "none",
      }, swatch);
      label.append(name);
      return box;
    });

    const times = slider(root, `${prefix}-rate`, "Rates, times", { min: -3, max: 3, step: 0.5 }, 0);
    const time = slider(root, `${prefix}-step`, "Step", { min: 0, max: data.steps, step: 1 }, 30);
    const play = html("button", root, { type: "button", textContent: "Play" });

    const svg = element("svg", { "aria-hidden": "true", focusable: "false" }, root);
    svg.style.width = "100%";
    const said = html("p", root, {});
    said.setAttribute("aria-live", "polite");
    said.style.margin = "0.5rem 0 0";

    let paths = {};
    function run() {
      const factor = 2 ** Number(times.input.value);
      paths = {};
      names.forEach((name) => {
        const { start: from } = data.grounds[ground.value];
        const rate = factor * data.rules[name].rate;
        paths[name] = walk(name, ground.value, from, rate, data.steps);
      });
      draw();
    }

    function draw() {
      const step = Number(time.input.value);
      const field = data.grounds[ground.value];
      const [left, right, bottom, top] = field.box;
      const factor = 2 ** Number(times.input.value);
      times.output.textContent = spoken(factor);
      times.input.setAttribute("aria-valuetext", spoken(factor));
      time.output.textContent = step;

      const width = Math.max(260, svg.clientWidth || root.clientWidth - 34 || 600);
      const height = Math.min(360, width * 0.62);
      const px = ([x, y]) => [
        (x - left) / (right - left) * width, (top - y) / (top - bottom) * height,
      ].map((c) => Math.round(Math.min(9999, Math.max(-9999, c)) * 10) / 10);
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.style.height = `${height}px`;
      svg.textContent = "";
      field.lines.forEach((line) => element("polyline", {
        points: line.map((p) => px(p).join(",")).join(" "), fill: "none",
        stroke: "currentColor", "stroke-opacity": 0.28,
      }, svg));

      const running = names.filter((name, i) => boxes[i].checked);
      running.forEach((name) => {
        const { colour, dashed } = data.rules[name];
        const path = paths[name].slice(0, step + 1).filter((p) => p.every(Number.isFinite));
        element("polyline", {
          points: path.map((p) => px(p).join(",")).join(" "), fill: "none", stroke: colour,
          "stroke-width": 2, "stroke-dasharray": dashed ? "5 3" : "none",
        }, svg);
        const [cx, cy] = px(path[path.length - 1]);
        element("circle", { cx, cy, r: 4.5, fill: colour, stroke: "currentColor" }, svg);
      });

      const order = running
        .map((name) => [VALUE[ground.value](paths[name][step]), name])
        .map(([value, name]) => [Number.isFinite(value) ? value : Infinity, name])
        .sort((one, other) => one[0] - other[0]);
      const sentence = order.length === 0
        ? "Nobody runs: choose an optimizer."
        : `After ${step} ${step === 1 ? "step" : "steps"}: ` +
          order.map(([value, name]) => `${name} at ${spoken(value)}`).join(", ") + ".";
      if (said.textContent !== sentence) said.textContent = sentence;
    }

    let timer = null;
    function stop() {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
      said.setAttribute("aria-live", "polite");
    }
    play.addEventListener("click", () => {
      if (timer !== null) {
        stop();
        return;
      }
      if (Number(time.input.value) >= data.steps) time.input.value = 0;
      play.textContent = "Stop";
      said.setAttribute("aria-live", "off"); // not every step is read aloud, only the last
      timer = setInterval(() => {
        time.input.value = Number(time.input.value) + 1;
        if (Number(time.input.value) >= data.steps) stop();
        draw();
      }, 80);
    });

    ground.addEventListener("change", run);
    times.input.addEventListener("input", run);
    time.input.addEventListener("input", () => {
      if (timer !== null) stop();
      draw();
    });
    boxes.forEach((box) => box.addEventListener("change", draw));
    onResize(root, draw);
    run();
  }

  window.rnnRace = { walk };
  return start;
}]);
