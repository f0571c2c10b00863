// A wiring, folded, and unfolded over as many steps as the slider says.  The page holds the arrows:
// a <div class="rnn-unfold"> with JSON inside, written by unfold_html() in book/figures/unfolding.py:
// {wirings: [{name, rows: [[letter, role], ...] from bottom to top,
//             arrows: [[source, target, delay, "weights"], ...]}, ...]}.
// Without this script the sentence in the <div> stays.
(window.rnnWidgets = window.rnnWidgets || []).push([".rnn-unfold", (shared) => {
  "use strict";

  const { element, labelled, onResize } = shared;

  const MOST = 8; // steps
  const INK = { input: "#006ac0", state: "#b84400", output: "#00a778" }; // as in course/figures.py

  function line(svg, from, to, radius, bend) {
    const [x, y] = from;
    const [u, v] = to;
    const length = Math.hypot(u - x, v - y);
    const way = [(u - x) / length, (v - y) / length];
    const side = [-way[1], way[0]];
    const middle = [(x + u) / 2 + bend * side[0], (y + v) / 2 + bend * side[1]];
    const toward = (a, b) => {
      const far = Math.hypot(b[0] - a[0], b[1] - a[1]);
      return [a[0] + (radius * (b[0] - a[0])) / far, a[1] + (radius * (b[1] - a[1])) / far];
    };
    const start = toward(from, middle);
    const tip = toward(to, middle);
    element("path", {
      d: `M${start} Q${middle} ${tip}`, fill: "none", stroke: "currentColor", "stroke-width": 1.2,
    }, svg);
    const angle = (Math.atan2(tip[1] - middle[1], tip[0] - middle[0]) * 180) / Math.PI;
    element("path", {
      d: "M0,0 L-8,-4 L-8,4 Z", fill: "currentColor",
      transform: `translate(${tip}) rotate(${angle})`,
    }, svg);
    // Where its letter goes: the middle, but near the beginning of a curve, where it meets no other.
    const part = bend ? 0.27 : 0.5;
    const along = (a, m, b) => (1 - part) ** 2 * a + 2 * part * (1 - part) * m + part ** 2 * b;
    return [along(x, middle[0], u), along(y, middle[1], v)];
  }

  function node(svg, at, radius, letter, time, role) {
    element("circle", {
      cx: at[0], cy: at[1], r: radius, stroke: INK[role], "stroke-width": 2, fill: INK[role],
      "fill-opacity": 0.12,
    }, svg);
    const text = element("text", {
      x: at[0], y: at[1] + 5, "text-anchor": "middle", "font-size": 14, fill: "currentColor",
      "font-style": "italic",
    }, svg, letter);
    if (time !== null) {
      element("tspan", { dy: -5, "font-size": 10, "font-style": "normal" }, text, `(${time})`);
    }
  }

  function start(root, number) {
    const data = JSON.parse(root.querySelector("script").textContent);
    const prefix = `rnn-unfold-${number}`;
    root.textContent = "";
    root.classList.add("rnn-widget");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "A recurrent network, folded and unfolded");

    const wiring = document.createElement("select");
    data.wirings.forEach((each, i) => wiring.append(new Option(each.name, i)));
    labelled(root, `${prefix}-wiring`, "Wiring", wiring);
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, max: MOST, step: 1 });
    slider.value = 3;
    const { output: shown } = labelled(root, `${prefix}-steps`, "Steps τ (0: folded)", slider);

    const svg = element("svg", { "aria-hidden": "true", focusable: "false" }, root);
    svg.style.width = "100%";
    const said = document.createElement("p");
    said.setAttribute("aria-live", "polite");
    said.style.margin = "0.5rem 0 0";
    root.append(said);

    function folded(net, y, x, radius) {
      const delayed = net.arrows.filter((arrow) => arrow[2] !== 0);
      for (const [source, target, delay, weights] of net.arrows) {
        const from = [x, y[source]];
        const to = [x, y[target]];
        if (delay === 0) {
          const rows = Math.abs(net.rows.findIndex((r) => r[0] === source) -
            net.rows.findIndex((r) => r[0] === target));
          const at = line(svg, from, to, radius, rows > 1 ? 2.6 * radius : 0);
          const beside = rows > 1 ? at[0] + 6 : x - 6;
          element("text", { x: beside, y: at[1] + 4, "font-size": 12, fill: "currentColor",
            "text-anchor": rows > 1 ? "start" : "end", "font-style": "italic" }, svg, weights);
          continue;
        }
        const out = x + radius * 2.4 + 22 * delayed.findIndex((a) => a[0] === source && a[1] === target);
        const lift = source === target ? 9 : 0;
        const first = [x + radius * 0.85, from[1] - lift];
        const last = [x + radius * 0.85, to[1] + lift];
        const middle = (first[1] + last[1]) / 2;
        element("path", {
          d: `M${first} Q${out},${first[1] - lift} ${out},${middle} Q${out},${last[1] + lift} ${last}`,
          fill: "none", stroke: "currentColor", "stroke-width": 1.2,
        }, svg);
        element("path", { d: "M0,0 L8,-4 L8,4 Z", fill: "currentColor",
          transform: `translate(${last}) rotate(8)` }, svg);
        element("rect", { x: out - 5, y: middle - 5, width: 10, height: 10, fill: "currentColor" },
          svg);
        element("text", { x: out + 10, y: middle + 4, "font-size": 12, fill: "currentColor",
          "font-style": "italic" }, svg, delay === 1 ? weights : `${weights} (${delay})`);
      }
      for (const [letter, role] of net.rows) node(svg, [x, y[letter]], radius, letter, null, role);
    }

    function unfolded(net, tau, y, x, radius) {
      const there = new Set();
      const arrows = [];
      for (let t = 1; t <= tau; t += 1) {
        for (const [letter] of net.rows) there.add(`${letter} ${t}`);
        for (const [source, target, delay, weights] of net.arrows) {
          arrows.push([source, t - delay, target, t, weights]);
          there.add(`${source} ${t - delay}`); // before the first step: the initial state
        }
      }
      const index = (letter) => net.rows.findIndex((row) => row[0] === letter);
      for (const [source, s, target, t, weights] of arrows) {
        const skips = s === t && Math.abs(index(source) - index(target)) > 1;
        const at = line(svg, [x(s), y[source]], [x(t), y[target]], radius, skips ? 2 * radius : 0);
        if (tau <= 4) {
          const across = s !== t && source === target;
          element("text", { x: at[0] + (across ? 0 : skips ? 5 : s === t ? -6 : 8),
            y: at[1] + (across ? -6 : 4), "font-size": 12, "font-style": "italic",
            "text-anchor": across ? "middle" : s === t && !skips ? "end" : "start",
            fill: "currentColor" }, svg, weights);
        }
      }
      for (const [letter, role] of net.rows) {
        for (let t = 0; t <= tau + 1; t += 1) {
          if (there.has(`${letter} ${t}`)) node(svg, [x(t), y[letter]], radius, letter, t, role);
        }
      }
      return { nodes: there.size, arrows: arrows.length };
    }

    function draw() {
      const net = data.wirings[Number(wiring.value)];
      const tau = Number(slider.value);
      shown.textContent = tau === 0 ? "folded" : String(tau);
      slider.setAttribute("aria-valuetext", shown.textContent);
      // One unit of the drawing is one pixel, so that letters keep their size on a phone.
      const width = Math.max(280, svg.clientWidth || root.clientWidth - 34 || 600);
      const back = net.arrows.some((arrow) => arrow[2] < 0) ? 1 : 0;
      const gap = Math.min(110, width / (tau + 1 + back));
      const radius = Math.max(11, Math.min(19, gap * 0.36));
      const pitch = 74;
      const height = pitch * (net.rows.length - 1) + 64;
      const y = {};
      net.rows.forEach(([letter], i) => { y[letter] = height - 32 - pitch * i; });
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.style.height = `${height}px`;
      svg.textContent = "";
      const weights = new Set(net.arrows.flatMap((arrow) => arrow[3].split(" ")).filter(Boolean));
      const letters = [...weights].join(", ");
      let sentence;
      if (tau === 0) {
        folded(net, y, width / 2 - 30, 19);
        sentence = `Folded: ${net.rows.length} letters, ${net.arrows.length} arrows. ` +
          "A square is a delay of one step.";
      } else {
        const count = unfolded(net, tau, y, (t) => gap * (t + 0.5), radius);
        sentence = `${tau} ${tau === 1 ? "step" : "steps"}: ${count.nodes} nodes, ` +
          `${count.arrows} arrows. The weights on them are still ${letters}.`;
      }
      if (said.textContent !== sentence) said.textContent = sentence;
    }

    slider.addEventListener("input", draw);
    wiring.addEventListener("change", draw);
    onResize(root, draw);
    draw();
  }

  return start;
}]);
