// The wirings of chapter 4: choose one, and see what can depend on what.  The page holds the graphs:
// a <div class="rnn-wirings"> with JSON and a panel for each wiring, written by chooser_html() in
// book/figures/wirings.py: [{title, rows: [...], modes: [{name, nodes: [[letter, step, role], ...],
// edges: [[from, to, [weights]], ...]}]}, ...].  Without this script all panels stay in sight.
(window.rnnWidgets = window.rnnWidgets || []).push([".rnn-wirings", (shared) => {
  "use strict";

  const { element, onResize } = shared;

  const COLOURS = { input: "#006ac0", state: "#b84400", output: "#00a778" };
  const ROW = 62;

  // A letter with its index below, as in "h_1", and its step above.
  function letter(parent, attributes, name, step) {
    const [base, index] = name.split("_");
    const text = element("text", { ...attributes, "text-anchor": "middle" }, parent);
    element("tspan", { "font-style": "italic" }, text, base);
    if (index) element("tspan", { dy: 4, "font-size": 9 }, text, index);
    if (step !== undefined) {
      element("tspan", { dy: index ? -10 : -6, "font-size": 9 }, text, `(${step})`);
    }
    return text;
  }

  const spoken = ([name, step]) => `${name.replace("_", "")}(${step})`;

  function choices(parent, name, legend, words, chosen, listen) {
    const set = document.createElement("fieldset");
    const said = document.createElement("legend");
    said.textContent = legend;
    set.append(said);
    words.forEach((word, i) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name, value: i, checked: i === chosen });
      input.addEventListener("change", () => listen(i));
      label.append(input, word);
      set.append(label);
    });
    parent.append(set);
    return set;
  }

  // All that a node depends on, along any number of arrows.
  function ancestors(edges, of) {
    const found = new Set();
    const waiting = [of];
    while (waiting.length) {
      const here = waiting.pop();
      for (const [from, to] of edges) {
        if (to === here && !found.has(from)) {
          found.add(from);
          waiting.push(from);
        }
      }
    }
    return found;
  }

  function start(root, number) {
    const wirings = JSON.parse(root.querySelector("script").textContent);
    const panels = [...root.querySelectorAll(".rnn-wiring")];
    const prefix = `rnn-wirings-${number}`;
    let [which, mode] = [0, 0];
    let kept = "o(3)"; // the node asked for, as long as there is one of that name
    root.classList.add("rnn-widget");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "The wirings, and what can depend on what");

    const top = document.createElement("div");
    root.prepend(top);
    choices(top, `${prefix}-which`, "Wiring", wirings.map((w) => w.title), 0, (i) => {
      [which, mode] = [i, 0];
      show();
    });
    const modes = document.createElement("div");
    const label = document.createElement("label");
    const select = document.createElement("select");
    select.id = label.htmlFor = `${prefix}-node`;
    label.append("What does this depend on?", select);
    const sentence = document.createElement("p");
    sentence.setAttribute("aria-live", "polite");
    top.append(modes, label);
    const drawing = element("svg", { "aria-hidden": "true", focusable: "false" }, top);
    drawing.style.width = "100%";
    top.append(sentence);
    select.addEventListener("change", pick);

    function show() {
      panels.forEach((panel, i) => { panel.hidden = i !== which; });
      panels[which].querySelector("strong").parentElement.hidden = true; // the choice says it
      const names = wirings[which].modes.map((m) => m.name);
      modes.textContent = "";
      if (names.length > 1) {
        choices(modes, `${prefix}-mode`, "Seen", names, mode, (i) => {
          mode = i;
          fill();
        });
      }
      fill();
    }

    function fill() {
      const { nodes, edges } = wirings[which].modes[mode];
      const made = nodes.map((node, i) => [node, i])
        .filter(([, i]) => edges.some(([, to]) => to === i));
      select.textContent = "";
      for (const [node, i] of made) select.append(new Option(spoken(node), i));
      const outputs = made.filter(([node]) => node[2] === "output");
      const same = made.find(([node]) => spoken(node) === kept);
      select.value = (same || outputs[outputs.length - 1])[1];
      draw();
    }

    function pick() {
      kept = spoken(wirings[which].modes[mode].nodes[Number(select.value)]);
      draw();
    }

    function draw() {
      const { rows, modes: all } = wirings[which];
      const { nodes, edges } = all[mode];
      const target = Number(select.value);
      const seen = ancestors(edges, target);
      const given = [...seen].filter((i) => !edges.some(([, to]) => to === i));
      const order = (a, b) => nodes[a][0].localeCompare(nodes[b][0]) || nodes[a][1] - nodes[b][1];
      const words = `${spoken(nodes[target])} depends on ` +
        `${given.sort(order).map((i) => spoken(nodes[i])).join(", ")}.`;
      if (sentence.textContent !== words) sentence.textContent = words;

      const steps = nodes.map((node) => node[1]);
      const [low, high] = [Math.min(...steps), Math.max(...steps)];
      const width = Math.max(260, drawing.clientWidth || root.clientWidth - 34 || 600);
      const gap = Math.min(110, width / (high - low + 1));
      const radius = Math.min(18, gap * 0.34);
      const used = rows.filter((row) => nodes.some((node) => node[0] === row));
      const height = used.length * ROW;
      const left = (width - gap * (high - low + 1)) / 2;
      const at = nodes.map(([name, step]) => [
        left + (step - low + 0.5) * gap, height - (used.indexOf(name) + 0.5) * ROW,
      ]);
      drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
      drawing.style.height = `${height}px`;
      drawing.textContent = "";

      const lit = (i) => i === target || seen.has(i);
      for (const [from, to, weights] of edges) {
        const on = lit(to) && lit(from);
        const [[x0, y0], [x1, y1]] = [at[from], at[to]];
        const far = Math.hypot(x1 - x0, y1 - y0);
        const [ux, uy] = [(x1 - x0) / far, (y1 - y0) / far];
        // Around a node that stands in the way.
        const blocked = at.some(([x, y], i) => {
          const along = (x - x0) * ux + (y - y0) * uy;
          const aside = Math.abs((x - x0) * uy - (y - y0) * ux);
          return i !== from && i !== to && along > 0 && along < far && aside < radius + 2;
        });
        const bend = blocked ? radius * 1.9 : 0;
        const [mx, my] = [(x0 + x1) / 2 - uy * bend, (y0 + y1) / 2 + ux * bend];
        const rim = (x, y) => {
          const d = Math.hypot(mx - x, my - y);
          return [x + (mx - x) / d * radius, y + (my - y) / d * radius];
        };
        const [sx, sy] = rim(x0, y0);
        const [ex, ey] = rim(x1, y1);
        const reach = Math.hypot(ex - mx, ey - my);
        const [dx, dy] = [(ex - mx) / reach, (ey - my) / reach];
        const stroke = { stroke: "currentColor", "stroke-opacity": on ? 1 : 0.22,
          "stroke-width": on ? 2 : 1, fill: "none" };
        element("path", { ...stroke, d: `M${sx},${sy} Q${mx},${my} ${ex},${ey}` }, drawing);
        element("path", {
          d: `M${ex},${ey} l${-7 * dx - 3.5 * dy},${-7 * dy + 3.5 * dx} ` +
            `l${7 * dy},${-7 * dx} Z`,
          fill: "currentColor", "fill-opacity": on ? 1 : 0.22,
        }, drawing);
        if (weights.length && gap >= 56) {
          letter(drawing, { x: mx + 9 * Math.abs(uy) + 3, y: my - 9 * Math.abs(ux) + 4,
            "font-size": 11, fill: "currentColor", "fill-opacity": on ? 1 : 0.4 }, weights[0]);
        }
      }
      nodes.forEach(([name, step, role], i) => {
        const [x, y] = at[i];
        const circle = element("circle", { cx: x, cy: y, r: radius, stroke: COLOURS[role],
          "stroke-width": i === target ? 4 : 1.5, "stroke-opacity": lit(i) ? 1 : 0.35,
          fill: COLOURS[role], "fill-opacity": i === target ? 0.5 : lit(i) ? 0.25 : 0.04 }, drawing);
        letter(drawing, { x, y: y + 4, "font-size": 12, fill: "currentColor",
          "fill-opacity": lit(i) ? 1 : 0.5, "pointer-events": "none" }, name, step);
        if (edges.some(([, to]) => to === i)) {
          circle.style.cursor = "pointer";
          circle.addEventListener("click", () => {
            select.value = i;
            pick();
          });
        }
      });
    }

    onResize(root, draw);
    show();
  }

  return start;
}]);
