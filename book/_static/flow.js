// The gradient flowing back through time, with two sliders.  The page holds the numbers: a
// <div class="rnn-flow"> with JSON inside, written by flow_html() in book/figures/bptt.py:
// {steps: T, gains: [...], tanh: [[T norms] for each gain], linear: the same}.
// Without this script the sentence in the <div> stays.
(window.rnnWidgets = window.rnnWidgets || []).push([".rnn-flow", (shared) => {
  "use strict";

  const { element, slider, onResize } = shared;

  const TOP = 3; // decades above and below 1 that the drawing shows
  const BOTTOM = -6;

  function spoken(value) {
    if (value >= 0.01 && value < 1000) return String(Number(value.toPrecision(3)));
    const [mantissa, exponent] = value.toExponential(1).split("e");
    return `${mantissa} × 10^${Number(exponent)}`;
  }

  function start(root, number) {
    const data = JSON.parse(root.querySelector("script").textContent);
    const T = data.steps;
    const prefix = `rnn-flow-${number}`;
    root.textContent = "";
    root.classList.add("rnn-widget");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "The gradient flowing back through time");

    const gain = slider(root, `${prefix}-gain`, "Gain of W",
      { min: 0, max: data.gains.length - 1, step: 1 }, data.gains.indexOf(1.2));
    const back = slider(root, `${prefix}-back`, "Steps back from the loss",
      { min: 0, max: T - 1, step: 1 }, T - 1);

    const choice = document.createElement("label");
    choice.style.justifyContent = "flex-start";
    const linear = document.createElement("input");
    linear.type = "checkbox";
    choice.append(linear, "linear network, no tanh");
    root.append(choice);

    const svg = element("svg", { "aria-hidden": "true", focusable: "false" }, root);
    svg.style.width = "100%";
    const said = document.createElement("p");
    said.setAttribute("aria-live", "polite");
    said.style.margin = "0.5rem 0 0";
    root.append(said);

    function draw() {
      const kind = linear.checked ? "linear" : "tanh";
      const norms = data[kind][Number(gain.input.value)];
      const reached = Number(back.input.value); // how many steps the backward pass has gone
      const g = data.gains[Number(gain.input.value)];
      const here = T - reached; // the state, 1 ... T
      gain.output.textContent = g.toFixed(1);
      back.output.textContent = reached;
      gain.input.setAttribute("aria-valuetext", g.toFixed(1));
      const sentence = reached === 0
        ? `At h(${T}), where the loss is, the gradient counts as 1.`
        : `At h(${here}), ${reached} ${reached === 1 ? "step" : "steps"} back, the gradient is ` +
          `${spoken(norms[here - 1])} times as long as at h(${T}).`;
      back.input.setAttribute("aria-valuetext", String(reached));
      if (said.textContent !== sentence) said.textContent = sentence;

      // One unit of the drawing is one pixel, so that letters keep their size on a phone.
      const width = Math.max(280, svg.clientWidth || root.clientWidth - 34 || 600);
      const left = 42;
      const chart = 190;
      const height = chart + 74;
      const gap = (width - left) / T;
      const radius = Math.min(15, gap * 0.34);
      const y = (decade) => 12 + (TOP - decade) / (TOP - BOTTOM) * (chart - 24);
      const x = (t) => left + (t - 0.5) * gap; // t = 1 ... T
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.style.height = `${height}px`;
      svg.textContent = "";
      const small = { "font-size": 12, fill: "currentColor" };

      for (let decade = BOTTOM; decade <= TOP; decade += 3) {
        element("line", {
          x1: left, x2: width, y1: y(decade), y2: y(decade), stroke: "currentColor",
          "stroke-opacity": decade === 0 ? 0.9 : 0.25,
        }, svg);
        const tick = element("text", { ...small, x: left - 6, y: y(decade) + 4,
          "text-anchor": "end" }, svg, decade === 0 ? "1" : "10");
        if (decade !== 0) {
          element("tspan", { dy: -5, "font-size": 9 }, tick, String(decade).replace("-", "−"));
        }
      }

      const row = chart + 24;
      for (let t = 1; t <= T; t += 1) {
        const seen = t >= here;
        const decade = Math.min(TOP, Math.max(BOTTOM, Math.log10(norms[t - 1])));
        if (seen) {
          const tip = y(decade);
          const zero = y(0);
          element("rect", {
            x: x(t) - radius * 0.7, width: radius * 1.4,
            y: Math.min(tip, zero) - 1, height: Math.abs(tip - zero) + 2,
            fill: t === here ? "var(--pst-color-primary, currentColor)" : "currentColor",
            "fill-opacity": t === here ? 1 : 0.45,
          }, svg);
        }
        if (t < T) { // forward in time thin, backward where the gradient has passed thick
          const passed = t >= here;
          element("line", {
            x1: x(t) + radius, x2: x(t + 1) - radius, y1: row, y2: row, stroke: "currentColor",
            "stroke-width": passed ? 3 : 1, "stroke-opacity": passed ? 1 : 0.5,
          }, svg);
          if (passed) {
            const tip = x(t) + radius;
            element("path", {
              d: `M${tip + 7},${row - 5} L${tip},${row} L${tip + 7},${row + 5} Z`,
              fill: "currentColor",
            }, svg);
          }
        }
        element("circle", {
          cx: x(t), cy: row, r: radius, stroke: "currentColor",
          "stroke-width": t === here ? 3 : 1.2,
          fill: t === here ? "var(--pst-color-primary, currentColor)" : "currentColor",
          "fill-opacity": t === here ? 1 : seen ? 0.35 : 0,
        }, svg);
        if (gap >= 34 || t === 1 || t === T || t === here) {
          const crowded = gap < 34 && t !== here && Math.abs(t - here) < 2;
          if (!crowded) {
            const atEdge = gap < 34 && t === T; // centred, it would be cut off there
            element("text", { ...small, x: atEdge ? width : x(t), y: row + radius + 17,
              "text-anchor": atEdge ? "end" : "middle" }, svg, `h(${t})`);
          }
        }
      }
      element("text", { ...small, x: x(T), y: row + radius + 34, "text-anchor": "end" },
        svg, "the loss is here");
    }

    gain.input.addEventListener("input", draw);
    back.input.addEventListener("input", draw);
    linear.addEventListener("change", draw);
    onResize(root, draw);
    draw();
  }

  return start;
}]);
