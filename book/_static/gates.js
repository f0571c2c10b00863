// One unit with gates, with sliders for what goes into it.  The page holds the weights: a
// <div class="rnn-gates"> with JSON inside, written by unit_html() in book/figures/gates.py:
// {lstm: {U: [4], W: [4], b: [4]}, gru: {U: [3], W: [3], b: [3]}}, blocks i, f, o, g and r, u, n.
// Without this script the sentence in the <div> stays.
(window.rnnWidgets = window.rnnWidgets || []).push([".rnn-gates", (shared) => {
  "use strict";

  const { element, slider, onResize } = shared;

  const DIGITS = 3;
  const KINDS = {
    lstm: "LSTM",
    take: "GRU, u takes the new",
    keep: "GRU, u keeps the old",
  };

  function sigmoid(a) {
    return 0.5 + 0.5 * Math.tanh(0.5 * a);
  }

  // The new state and all gates: (5.1)-(5.4), or (5.16)-(5.19) for one unit.
  function step(weights, kind, at) {
    const { U, W, b } = weights[kind === "lstm" ? "lstm" : "gru"];
    const before = (k) => (k === 1 ? at.bias : b[k]) + W[k] * at.h + U[k] * at.x;
    if (kind === "lstm") {
      const [i, f, o] = [0, 1, 2].map((k) => sigmoid(before(k)));
      const g = Math.tanh(before(3));
      const c = f * at.c + i * g;
      return { i, f, o, g, c, h: o * Math.tanh(c) };
    }
    const [r, u] = [0, 1].map((k) => sigmoid(before(k)));
    const n = Math.tanh(b[2] + W[2] * (r * at.h) + U[2] * at.x);
    const h = kind === "take" ? u * n + (1 - u) * at.h : (1 - u) * n + u * at.h;
    return { r, u, n, h };
  }

  function shown(value) {
    return value.toFixed(DIGITS).replace(/^-(0\.0+)$/, "$1").replace("-", "−");
  }

  function start(root, number) {
    const weights = JSON.parse(root.querySelector("script").textContent);
    const at = { x: 1, h: 0, c: 1, bias: 1 };
    const prefix = `rnn-gates-${number}`;
    root.textContent = "";
    root.classList.add("rnn-widget");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "One unit with gates");

    const choice = document.createElement("label");
    choice.htmlFor = `${prefix}-kind`;
    choice.append("Unit ");
    const kind = document.createElement("select");
    kind.id = choice.htmlFor;
    for (const value of Object.keys(KINDS)) kind.append(new Option(KINDS[value], value));
    choice.append(kind);
    root.append(choice);

    const inputs = {
      x: slider(root, `${prefix}-x`, "Input x", { min: -2, max: 2, step: "any" }),
      h: slider(root, `${prefix}-h`, "Hidden state before, h", { min: -1, max: 1, step: "any" }),
      c: slider(root, `${prefix}-c`, "Cell state before, c", { min: -3, max: 3, step: "any" }),
      bias: slider(root, `${prefix}-bias`, "Bias of the forget or update gate",
        { min: -5, max: 5, step: "any" }),
    };
    for (const name of Object.keys(inputs)) {
      const { input } = inputs[name];
      input.addEventListener("input", () => {
        at[name] = Number(Number(input.value).toFixed(2));
        draw();
      });
      // With step "any" an arrow key would move by a browser's own measure.
      input.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05 }[event.key];
        if (by === undefined) return;
        event.preventDefault();
        const moved = Math.min(Number(input.max), Math.max(Number(input.min), at[name] + by));
        at[name] = Number(moved.toFixed(2));
        draw();
      });
    }

    const again = document.createElement("button");
    again.type = "button";
    again.textContent = "Take this step";
    again.addEventListener("click", () => {
      const made = step(weights, kind.value, at);
      at.h = made.h;
      if (made.c !== undefined) at.c = made.c;
      draw();
    });
    root.append(again);

    const svg = element("svg", { "aria-hidden": "true", focusable: "false" }, root);
    svg.style.width = "100%";
    const said = document.createElement("p");
    said.setAttribute("aria-live", "polite");
    said.className = "rnn-gates-said";
    said.style.margin = "0.5rem 0 0";
    root.append(said);

    function draw() {
      const made = step(weights, kind.value, at);
      for (const name of Object.keys(inputs)) {
        const { input, output } = inputs[name];
        input.value = at[name];
        output.textContent = shown(at[name]);
        input.setAttribute("aria-valuetext", shown(at[name]));
      }
      const lstm = kind.value === "lstm";
      inputs.c.input.disabled = !lstm;
      inputs.c.label.style.opacity = lstm ? 1 : 0.5;
      const sentence = Object.keys(made).map((name) => `${name} = ${shown(made[name])}`).join(", ");
      if (said.textContent !== sentence) said.textContent = sentence;

      const names = Object.keys(made);
      const width = Math.max(280, svg.clientWidth || root.clientWidth - 34 || 600);
      const line = 30;
      const left = 28;
      const right = 64;
      const largest = Math.max(1, ...names.map((name) => Math.abs(made[name])));
      const x = (value) => left + (value / largest + 1) / 2 * (width - left - right);
      svg.setAttribute("viewBox", `0 0 ${width} ${line * names.length + 8}`);
      svg.style.height = `${line * names.length + 8}px`;
      svg.textContent = "";
      element("line", {
        x1: x(0), x2: x(0), y1: 0, y2: line * names.length + 4, stroke: "currentColor",
        "stroke-opacity": 0.5,
      }, svg);
      names.forEach((name, row) => {
        const y = row * line + 4;
        const state = name === "h" || name === "c";
        const text = { "font-size": 14, fill: "currentColor", y: y + 17 };
        element("text", { ...text, x: 4 }, svg, name);
        element("rect", {
          x: Math.min(x(0), x(made[name])), y: y + 3, height: line - 12,
          width: Math.max(1, Math.abs(x(made[name]) - x(0))),
          fill: state ? "var(--pst-color-primary, currentColor)" : "currentColor",
          "fill-opacity": state ? 1 : 0.45,
        }, svg);
        element("text", { ...text, x: width, "text-anchor": "end" }, svg, shown(made[name]));
      });
    }

    kind.addEventListener("change", draw);
    onResize(root, draw);
    draw();
  }

  return start;
}]);
