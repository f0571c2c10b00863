// What the theme and MathJax leave undone for those who use keys or a screen reader.
(function () {
  "use strict";

  // The list of references is announced as a list, but what is in it is not: then rather none.
  function lists() {
    document.querySelectorAll(".citation-list[role='list']").forEach((each) => {
      each.removeAttribute("role");
    });
  }

  // The number of an equation that is wider than its column is written under it: see course.css.
  function numbers() {
    const equations = [...document.querySelectorAll("div.math[id^='eq-']")];
    equations.forEach((box) => box.classList.remove("rnn-wide-equation"));
    const wide = equations.filter((box) => box.scrollWidth > box.clientWidth + 1);
    wide.forEach((box) => {
      box.classList.add("rnn-wide-equation");
      if (box.querySelector(".rnn-number")) return;
      const number = document.createElement("span");
      number.className = "rnn-number";
      number.setAttribute("aria-hidden", "true"); // MathJax says it already
      number.textContent = `(${box.id.slice(3).replace("-", ".")})`;
      box.append(number);
    });
  }

  // What scrolls inside itself must be reached by keys.
  function reachable() {
    const boxes = document.querySelectorAll(
      ".math, pre, .pst-scrollable-table-container, .rnn-wide-table, .rnn-scroll, article table,"
      + ".rnn-text");
    boxes.forEach((box) => {
      const style = getComputedStyle(box);
      const scrolls = /auto|scroll/.test(style.overflowX + style.overflowY)
        && (box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1);
      if (scrolls && !box.hasAttribute("tabindex")) box.tabIndex = 0;
    });
  }

  function start() {
    lists();
    const typeset = window.MathJax && window.MathJax.startup && window.MathJax.startup.promise;
    const fit = () => {
      numbers();
      reachable();
    };
    Promise.resolve(typeset).then(fit);
    window.addEventListener("resize", fit);
  }
  if (document.readyState === "complete") start();
  else window.addEventListener("load", start);
})();
