// One unit, h <- tanh(w h + b): cobweb, phase line and fixed points, with three sliders.  The page
// has a <div class="rnn-phase" data-w data-b data-start>, written by phase_html() in
// book/figures/dynamics.py.  Without this script the sentence in the <div> stays.
(window.rnnWidgets = window.rnnWidgets || []).push([".rnn-phase", (shared) => {
  "use strict";

  const { element, slider, onResize } = shared;

  const STEPS = 40; // of the cobweb

  // The fixed points, by bisection between the turns of b(h) = artanh h - w h, (1.9) and (1.11).
  function fixedPoints(w, b) {
    const excess = (h) => Math.atanh(h) - w * h - b;
    const end = 1 - 1e-12;
    const turn = w > 1 ? Math.sqrt(1 - 1 / w) : 0;
    const edges = w > 1 ? [-end, -turn, turn, end] : [-end, end];
    const found = [];
    for (let i = 0; i + 1 < edges.length; i += 1) {
      let low = edges[i];
      let high = edges[i + 1];
      if (excess(low) > 0 === excess(high) > 0) continue;
      const rising = excess(high) > 0;
      for (let n = 0; n < 100; n += 1) {
        const middle = (low + high) / 2;
        if (excess(middle) > 0 === rising) high = middle;
        else low = middle;
      }
      const h = (low + high) / 2;
      found.push({ h, slope: w * (1 - h * h) }); // (1.10)
    }
    return found;
  }

  const said = (value, digits) => value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1")
    .replace("-", "−");

  function start(root, number) {
    const prefix = `rnn-phase-${number}`;
    const begin = { ...root.dataset };
    root.textContent = "";
    root.classList.add("rnn-widget");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "One unit: cobweb and fixed points");
    const sliders = {
      w: slider(root, `${prefix}-w`, "Weight w", { min: -3, max: 3, step: 0.05 }, begin.w),
      b: slider(root, `${prefix}-b`, "Bias b", { min: -1.2, max: 1.2, step: 0.01 }, begin.b),
      h: slider(root, `${prefix}-h`, "Start h(0)", { min: -1, max: 1, step: 0.05 }, begin.start),
    };
    const svg = element("svg", { "aria-hidden": "true", focusable: "false" }, root);
    svg.style.width = "100%";
    const sentence = document.createElement("p");
    sentence.setAttribute("aria-live", "polite");
    sentence.style.margin = "0.5rem 0 0";
    root.append(sentence);

    function tell(points, run) {
      const each = points.map(({ h, slope }) => {
        const verdict = Math.abs(slope) < 1 ? "attracts" : "repels";
        return `${said(h, 4)} (slope ${said(slope, 4)}, ${verdict})`;
      });
      const count = points.length === 1 ? "1 fixed point" : `${points.length} fixed points`;
      const [last, before] = [run[run.length - 1], run[run.length - 2]];
      const end = Math.abs(last - before) < 1e-4
        ? `After ${run.length - 1} steps the run is at ${said(last, 4)}.`
        : `After ${run.length - 1} steps the run goes from ${said(before, 4)} to ${said(last, 4)}.`;
      const text = `${count}: ${each.join("; ")}. ${end}`;
      if (sentence.textContent !== text) sentence.textContent = text;
    }

    function draw() {
      const w = Number(sliders.w.input.value);
      const b = Number(sliders.b.input.value);
      const run = [Number(sliders.h.input.value)];
      while (run.length <= 1000) run.push(Math.tanh(w * run[run.length - 1] + b));
      for (const [key, digits] of [["w", 2], ["b", 2], ["h", 2]]) {
        const text = said(Number(sliders[key].input.value), digits);
        sliders[key].output.textContent = text;
        sliders[key].input.setAttribute("aria-valuetext", text);
      }
      const points = fixedPoints(w, b);
      tell(points, run);

      // One unit of the drawing is one pixel, so that letters keep their size on a phone.
      const width = Math.max(260, svg.clientWidth || root.clientWidth - 34 || 600);
      const side = Math.min(width - 44, 400);
      const left = (width - side) / 2 + 8;
      const line = side + 62; // where the phase line lies
      const height = line + 34;
      const x = (h) => left + (h + 1) / 2 * side;
      const y = (h) => 8 + (1 - h) / 2 * side;
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.style.height = `${height}px`;
      svg.textContent = "";
      const ink = { stroke: "currentColor", fill: "none" };
      const strong = { stroke: "var(--pst-color-primary, currentColor)", fill: "none" };
      const write = (text, where) => {
        element("text", { "font-size": 12, fill: "currentColor", ...where }, svg).textContent = text;
      };

      element("rect", { ...ink, x: left, y: 8, width: side, height: side,
        "stroke-opacity": 0.35 }, svg);
      element("path", { ...ink, d: `M${x(-1)},${y(-1)} L${x(1)},${y(1)}`,
        "stroke-opacity": 0.6 }, svg);
      let curve = "";
      for (let i = 0; i <= 200; i += 1) {
        const h = i / 100 - 1;
        curve += `${i ? "L" : "M"}${x(h).toFixed(1)},${y(Math.tanh(w * h + b)).toFixed(1)} `;
      }
      element("path", { ...strong, d: curve, "stroke-width": 2.5 }, svg);
      let web = `M${x(run[0])},${y(-1)} `;
      for (let t = 0; t < STEPS; t += 1) {
        web += `L${x(run[t])},${y(run[t + 1])} L${x(run[t + 1])},${y(run[t + 1])} `;
      }
      element("path", { ...ink, d: web, "stroke-width": 1.2 }, svg);

      // The phase line: where one step leads to, by arrows; longer where the step is longer.
      element("line", { ...ink, x1: x(-1), x2: x(1), y1: line, y2: line,
        "stroke-opacity": 0.35 }, svg);
      for (let i = 0; i <= 12; i += 1) {
        const h = -0.96 + 0.16 * i;
        const move = Math.tanh(w * h + b) - h;
        const length = Math.sign(move) * Math.min(Math.abs(move) * side * 0.2, side * 0.05);
        if (Math.abs(length) < 1.5) continue;
        const tip = x(h) + length;
        const head = Math.sign(move) * 5;
        element("path", { ...ink, d: `M${x(h)},${line} L${tip},${line} M${tip - head},${line - 4} ` +
          `L${tip},${line} L${tip - head},${line + 4}`, "stroke-width": 1.5 }, svg);
      }
      for (const { h, slope } of points) {
        for (const at of [y(h), line]) {
          element("circle", { ...strong, class: "rnn-fixed-point", cx: x(h), cy: at, r: 5.5,
            "stroke-width": 2,
            fill: Math.abs(slope) < 1 ? strong.stroke : "var(--pst-color-surface, white)" }, svg);
        }
      }
      for (const h of [-1, 0, 1]) {
        write(said(h, 0), { x: x(h), y: side + 24, "text-anchor": "middle" });
        write(said(h, 0), { x: left - 6, y: y(h) + 4, "text-anchor": "end" });
      }
      write("h(t−1)", { x: x(0.5), y: side + 24, "text-anchor": "middle" });
      write("h(t)", { x: left - 6, y: y(0.5) + 4, "text-anchor": "end" });
      write("one step, from each h", { x: x(0), y: line + 24, "text-anchor": "middle" });
    }

    for (const { input } of Object.values(sliders)) input.addEventListener("input", draw);
    onResize(root, draw);
    draw();
  }

  return start;
}]);
