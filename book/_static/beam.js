// Beam search on a small model, with two sliders.  The page holds the model: a <div class="rnn-beam">
// with JSON inside, written by beam_html() in book/figures/seq2seq_widgets.py: {words, begin, end,
// limit, logp: [[log-probability of each word after word k], ...], best: the most probable sequence}.
// Without this script the sentence in the <div> stays.
(window.rnnWidgets = window.rnnWidgets || []).push([".rnn-beam", (shared) => {
  "use strict";

  const { slider } = shared;

  // The same search as beam_search in solutions/seq2seq.py: (6.21) and (6.22).
  function search(model, width, power) {
    let live = [{ y: [], logp: 0 }];
    const finished = [];
    const rounds = [];
    for (let t = 0; t < model.limit && live.length; t += 1) {
      const longer = [];
      for (const { y, logp } of live) {
        const row = model.logp[y.length ? y[y.length - 1] : model.begin];
        row.forEach((value, k) => longer.push({ y: [...y, k], logp: logp + value }));
      }
      longer.sort((one, other) => other.logp - one.logp); // stable, as Python's
      const kept = longer.slice(0, width);
      rounds.push({ kept, dropped: longer.slice(width, width + 2) });
      finished.push(...kept.filter(({ y }) => y[y.length - 1] === model.end));
      live = kept.filter(({ y }) => y[y.length - 1] !== model.end);
    }
    const scored = finished.concat(live).map((each) => ({
      ...each, score: each.logp / each.y.length ** power,
    }));
    const best = scored.reduce((one, other) => (other.score > one.score ? other : one));
    return { rounds, best };
  }

  const shown = (value) => value.toFixed(2).replace(/^-(0\.0+)$/, "$1").replace("-", "−");

  function start(root, number) {
    const model = JSON.parse(root.querySelector("script").textContent);
    root.textContent = "";
    root.classList.add("rnn-widget");
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Beam search");
    const width = slider(root, `rnn-beam-${number}-width`, "Beam width",
      { min: 1, max: 5, step: 1 }, 1);
    const power = slider(root, `rnn-beam-${number}-power`, "Length penalty γ",
      { min: 0, max: 1.5, step: 0.1 }, 0);

    const steps = document.createElement("div");
    steps.className = "rnn-beam-steps";
    steps.tabIndex = 0; // it scrolls on a narrow screen, by keys too
    steps.setAttribute("role", "region");
    steps.setAttribute("aria-label", "The beginnings kept at each step");
    const said = document.createElement("p");
    said.setAttribute("aria-live", "polite");
    said.className = "rnn-beam-said";
    root.append(steps, said);

    const text = (y) => y.map((k) => model.words[k]).join(" ");

    function draw() {
      const found = search(model, Number(width.input.value), Number(power.input.value));
      width.output.textContent = width.input.value;
      power.output.textContent = Number(power.input.value).toFixed(1);
      steps.textContent = "";
      found.rounds.forEach(({ kept, dropped }, t) => {
        const list = document.createElement("ol");
        const head = document.createElement("li");
        head.className = "rnn-beam-head";
        head.textContent = `step ${t + 1}`;
        list.append(head);
        for (const [each, name] of [
          ...kept.map((one) => [one, "kept"]), ...dropped.map((one) => [one, "dropped"]),
        ]) {
          const item = document.createElement("li");
          const ended = each.y[each.y.length - 1] === model.end;
          item.className = `rnn-beam-${name}${ended ? " rnn-beam-ended" : ""}`;
          const value = document.createElement("span");
          value.textContent = shown(each.logp);
          item.append(text(each.y), value);
          list.append(item);
        }
        steps.append(list);
      });
      const { best } = found;
      const right = text(best.y) === model.best;
      const sentence = `Found: ${text(best.y)}, log-probability ${shown(best.logp)}, ` +
        `score ${shown(best.score)}. ` + (right ? "No sequence is more probable."
          : `The most probable sequence is ${model.best}.`);
      if (said.textContent !== sentence) said.textContent = sentence;
    }

    for (const { input } of [width, power]) input.addEventListener("input", draw);
    draw();
  }

  return start;
}]);
