// A browser shows a notebook that lies on the same disk as text, where it should save it.  Opened
// from a disk, the page therefore takes the notebook from itself: see _ext/launch.py.
(function () {
  "use strict";

  function carry() {
    document.querySelectorAll(".rnn-open a[data-file]").forEach((link) => {
      link.href = `data:application/x-ipynb+json;base64,${link.dataset.file}`;
    });
  }

  if (location.protocol === "file:") document.addEventListener("DOMContentLoaded", carry);
})();
