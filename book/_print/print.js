// Lays the book's pages into one document, which Chromium then prints: see book/printed.py.
(function () {
  "use strict";

  const apart = (page, id) => `${page}--${id}`; // ids are unique in a page, not in a book

  // Rename every id of a page, and what points to one: labels, url(#...) and the styles of pictures.
  function rename(root, page) {
    const own = new Set([...root.querySelectorAll("[id]")].map((each) => each.id));
    const point = (text) => text.replace(/#([\w-]+)/g,
      (all, id) => (own.has(id) ? `#${apart(page, id)}` : all));
    for (const element of root.querySelectorAll("*")) {
      for (const { name, value } of [...element.attributes]) {
        if (name === "id") element.id = apart(page, value);
        else if (name === "for" || name.startsWith("aria-") && own.has(value)) {
          element.setAttribute(name, apart(page, value));
        } else if (value.includes("url(#") || element.localName === "use") {
          element.setAttribute(name, point(value));
        }
      }
      if (element.localName === "style") element.textContent = point(element.textContent);
    }
  }

  // A link of a page leads to a place in this document, or to an address elsewhere.  One to a file, or
  // to a page of the book that is not printed this time, becomes plain text.
  function relink(root, page, { pages, book }) {
    for (const link of root.querySelectorAll("a[href]")) {
      const href = link.getAttribute("href");
      if (/^(https?|mailto):/.test(href)) continue;
      const [path, id] = href.split("#");
      const target = path ? decodeURIComponent(path).replace(/\.html$/, "") : page;
      const file = path && !path.endsWith(".html");
      if (!file && !book.includes(target)) throw new Error(`${page}: no page of the book: ${href}`);
      if (!pages.includes(target)) link.removeAttribute("href");
      else link.setAttribute("href", `#${id ? apart(target, decodeURIComponent(id)) : target}`);
    }
  }

  // Everything folded is unfolded; what only a screen has use for goes.
  function unfold(root) {
    root.querySelectorAll("nav, .headerlink, button, .sd-summary-state-marker")
      .forEach((each) => each.remove());
    for (const details of root.querySelectorAll("details")) {
      details.open = true;
      if (!details.classList.contains("hide")) continue;
      details.querySelector("summary").remove();
      details.replaceWith(...details.childNodes);
    }
  }

  // A section begins where its heading stands, which may be on the sheet behind its upper edge.
  function anchor(root) {
    for (const section of root.querySelectorAll("section[id]")) {
      const heading = section.querySelector(":scope > :is(h1, h2, h3, h4, h5, h6)");
      if (!heading) continue;
      heading.id = section.id;
      section.removeAttribute("id");
      while (heading.previousElementSibling?.matches("span[id]")) {
        heading.prepend(heading.previousElementSibling); // another name of the section
      }
    }
  }

  // The words of a heading; of a formula its TeX, which in headings is a letter.
  const plain = (element) =>
    element.textContent.replace(/\\\((.*?)\\\)/g, "$1").replace(/\s+/g, " ").trim();

  function headings(article, page) {
    const found = [];
    for (const heading of article.querySelectorAll("section > :is(h1, h2)")) {
      const level = Number(heading.localName[1]);
      const id = level === 1 ? page : heading.id;
      found.push({ level, id, title: plain(heading), page });
    }
    return found;
  }

  async function load(page, chosen) {
    const response = await fetch(`${page}.html`);
    if (!response.ok) throw new Error(`${page}.html: ${response.status}`);
    const read = new DOMParser().parseFromString(await response.text(), "text/html");
    const article = read.querySelector("article.bd-article");
    unfold(article);
    anchor(article);
    rename(article, page);
    relink(article, page, chosen);
    article.id = page;
    return article;
  }

  const quoted = (text) => `"${text.replace(/["\\]/g, "\\$&")}"`;

  // The page's title above each of its sheets.
  function runningHead(page, number, title) {
    return `@page chapter-${number} { @top-right { content: ${quoted(title)}; } }
      [id="${page}"] { page: chapter-${number}; }`;
  }

  function contents(list) {
    const nav = document.createElement("nav");
    nav.className = "contents";
    nav.innerHTML = "<p class='contents-title'>Contents</p>";
    for (const { level, id, title } of list) {
      const line = document.createElement("a");
      line.href = `#${id}`;
      line.className = `level-${level}`;
      line.innerHTML = "<span></span><i></i><b></b>";
      line.firstChild.textContent = title;
      nav.append(line);
    }
    return nav;
  }

  // Lay out all pages; returns their chapters and sections as {level, id, title, page}.
  window.layOut = async ({ pages, book, front }) => {
    const list = [];
    const styles = [];
    const articles = await Promise.all(pages.map((page) => load(page, { pages, book })));
    articles.forEach((article, n) => {
      const own = headings(article, pages[n]);
      styles.push(runningHead(pages[n], n, own[0].title));
      list.push(...own);
    });
    const style = document.createElement("style");
    style.textContent = styles.join("\n");
    document.head.append(style);
    const body = document.querySelector("main");
    const title = document.createElement("div");
    title.className = "title-page";
    title.innerHTML = front;
    body.append(title, contents(list), ...articles);
    return list;
  };

  // What is wider than the page gets smaller letters, down to `least` of their size.
  function fit(element, least) {
    const size = parseFloat(getComputedStyle(element).fontSize);
    for (let step = 0; step < 12 && element.scrollWidth > element.clientWidth + 1; step += 1) {
      const ratio = element.clientWidth / element.scrollWidth;
      const now = parseFloat(getComputedStyle(element).fontSize);
      const next = Math.max(least * size, now * Math.min(ratio, 0.98));
      element.style.fontSize = `${next}px`;
      if (next <= least * size) break;
    }
  }

  // A widget stands still, and says where it moves.
  function stills() {
    for (const widget of document.querySelectorAll(".rnn-widget")) {
      for (const select of widget.querySelectorAll("select")) {
        const chosen = document.createElement("output");
        chosen.textContent = select.selectedOptions[0] ? select.selectedOptions[0].text : "";
        select.replaceWith(chosen);
      }
      for (const radio of widget.querySelectorAll("input[type=radio]:not(:checked)")) {
        (radio.closest("label") || radio).remove();
      }
      widget.querySelectorAll("input, button").forEach((each) => each.remove());
      widget.querySelectorAll("[hidden]").forEach((each) => { each.hidden = false; });
      const said = document.createElement("p");
      said.className = "still";
      said.textContent = "A still picture: on the web page "
        + `${widget.closest("article").id}.html of this book, you can move it.`;
      widget.append(said);
    }
  }

  // After the scripts of the widgets, and with all formulas set.
  window.settle = async () => {
    stills();
    // MathML for screen readers, which print would show as a second, crumpled formula.
    document.querySelectorAll("mjx-assistive-mml").forEach((each) => each.remove());
    await document.fonts.ready;
    document.querySelectorAll("div.math").forEach((each) => fit(each, 0.6));
    document.querySelectorAll(".rnn-scroll, .pst-scrollable-table-container, .text_html, .rnn-wide-table")
      .forEach((each) => { if (each.querySelector("table")) fit(each, 0.55); });
    // What is shorter than a third of a sheet stays on one.
    for (const block of document.querySelectorAll(
      "pre, div.highlight, .cell_input, table, .admonition, .sd-card, .sd-row, div.proof")) {
      if (block.getBoundingClientRect().height < 330) block.classList.add("together");
    }
    // MathJax marks what it can't set, shows in red what it does not know, and leaves alone what
    // has no end.
    return [...document.querySelectorAll(
      "mjx-merror, mjx-container [style*='color: red'], .math:not(:has(mjx-container))")]
      .map((each) => `${each.closest("article").id}: ${each.textContent}`);
  };

  // What is still cut off: boxes that hide a part of themselves, and what leaves the column.
  window.cutOff = () => {
    const edge = document.querySelector("main").getBoundingClientRect().right + 1;
    const hides = (each) => each.clientWidth && each.scrollWidth > each.clientWidth + 1
      && getComputedStyle(each).overflowX !== "visible" && !each.closest("mjx-container");
    const leaves = (each) => each.getBoundingClientRect().right > edge;
    const found = [...document.querySelectorAll("article *:not(svg *)")]
      .filter((each) => leaves(each) || hides(each));
    const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    while (texts.nextNode()) {
      range.selectNodeContents(texts.currentNode);
      if (leaves(range)) found.push(texts.currentNode.parentElement);
    }
    return found.map((each) => `${each.closest("[id]").id}: ${each.outerHTML.slice(0, 120)}`);
  };

  window.writeNumbers = (numbers) => {
    for (const line of document.querySelectorAll("nav.contents a")) {
      line.lastChild.textContent = numbers[line.getAttribute("href").slice(1)];
    }
  };
})();
