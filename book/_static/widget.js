// What the widgets of the book share.  A widget's script registers itself, in whatever order scripts
// come: (window.rnnWidgets = window.rnnWidgets || []).push([".rnn-name", (shared) => start]), where
// start(root, number) brings one element of that class to life.
(function () {
  "use strict";

  function element(name, attributes, parent, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key of Object.keys(attributes)) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    parent.appendChild(made);
    return made;
  }

  // An input under its name, and where its value is shown.
  function labelled(parent, id, name, input) {
    const label = document.createElement("label");
    label.htmlFor = id;
    label.append(name);
    const output = document.createElement("output");
    output.htmlFor = id;
    label.append(output);
    input.id = id;
    parent.append(label, input);
    return { label, input, output };
  }

  function slider(parent, id, name, range, value) {
    const input = document.createElement("input");
    Object.assign(input, { type: "range", ...range });
    if (value !== undefined) input.value = value;
    return labelled(parent, id, name, input);
  }

  function onResize(root, draw) {
    if (!("ResizeObserver" in window)) {
      window.addEventListener("resize", draw);
      return;
    }
    let before = 0;
    new ResizeObserver(() => {
      if (root.clientWidth !== before) {
        before = root.clientWidth;
        draw();
      }
    }).observe(root);
  }

  function startAll() {
    for (const [selector, make] of window.rnnWidgets || []) {
      const found = document.querySelectorAll(`${selector}:not(.rnn-widget)`);
      if (found.length) found.forEach(make({ element, labelled, slider, onResize }));
    }
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", startAll);
  else startAll();
})();
