// Where a decoder looks: choose a sequence and a symbol of its translation.  The page holds the
// weights: a <div class="rnn-attend"> with JSON inside, written by attend_html() in
// book/figures/seq2seq_widgets.py: [{source: [...], said: [...], weights: [[source] for each said]}].
// Without this script the sentence in the <div> stays.
(window.rnnWidgets = window.rnnWidgets || []).push([".rnn-attend", (shared) => {
  "use strict";

  const { element, slider, onResize } = shared;

  const HEIGHT = 90;

  const visible = (symbol) => (symbol === " " ? "␣" : symbol);

  function start(root, number) {
    const examples = JSON.parse(root.querySelector("script").textContent);
    const prefix = `rnn-attend-${number}`;
    root.textContent = "";
    root.classList.add("rnn-widget");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Where the decoder looks");

    const choice = document.createElement("label");
    choice.htmlFor = `${prefix}-example`;
    choice.append("Read ");
    const example = document.createElement("select");
    example.id = choice.htmlFor;
    examples.forEach((each, n) => example.append(new Option(each.source.join(""), n)));
    choice.append(example);
    root.append(choice);
    const { input: symbol, output } = slider(root, `${prefix}-symbol`, "Symbol of the translation",
      { min: 1, step: 1 });

    const svg = element("svg", { "aria-hidden": "true", focusable: "false" }, root);
    svg.style.width = "100%";
    const said = document.createElement("p");
    said.setAttribute("aria-live", "polite");
    said.className = "rnn-attend-said";
    said.style.margin = "0.5rem 0 0";
    root.append(said);

    function draw() {
      const { source, said: words, weights } = examples[Number(example.value)];
      symbol.max = words.length;
      const t = Number(symbol.value) - 1;
      const row = weights[t];
      output.textContent = `${words.slice(0, t).join("")}[${words[t]}]${words.slice(t + 1).join("")}`;
      symbol.setAttribute("aria-valuetext", `${t + 1}: ${words[t]}`);
      const order = row.map((_, j) => j).sort((i, j) => row[j] - row[i]).slice(0, 3);
      const sentence = `To write ${words[t]}, it looks at ` +
        order.map((j) => `${visible(source[j])} (${row[j].toFixed(2)})`).join(", ") + ".";
      if (said.textContent !== sentence) said.textContent = sentence;

      const width = Math.max(280, svg.clientWidth || root.clientWidth - 34 || 600);
      const column = Math.min(30, width / source.length);
      svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT + 24}`);
      svg.style.height = `${HEIGHT + 24}px`;
      svg.textContent = "";
      source.forEach((each, j) => {
        const height = Math.max(1, row[j] * HEIGHT);
        element("rect", {
          x: j * column + 1, y: HEIGHT - height, width: column - 2, height,
          fill: "var(--pst-color-primary, currentColor)",
        }, svg);
        element("text", {
          x: (j + 0.5) * column, y: HEIGHT + 18, "text-anchor": "middle",
          "font-size": Math.min(16, column * 1.3), fill: "currentColor",
        }, svg, visible(each));
      });
    }

    example.addEventListener("change", () => {
      symbol.value = 1;
      draw();
    });
    symbol.value = 1;
    symbol.addEventListener("input", draw);
    onResize(root, draw);
    draw();
  }

  return start;
}]);
