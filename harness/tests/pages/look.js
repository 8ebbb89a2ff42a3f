// Looks at a page as a reader would and returns what is wrong with it, a line each.
(() => {
  const wrong = [];
  const root = document.documentElement;
  const words = (e) => `${e.tagName.toLowerCase()}${e.className.baseVal ?? e.className ? "." + (e.className.baseVal ?? e.className) : ""} "${e.textContent.trim().slice(0, 40)}"`;
  const seen = (e) => e.getClientRects().length > 0;

  if (root.scrollWidth > root.clientWidth)
    wrong.push(`horizontal scroll: ${root.scrollWidth} in ${root.clientWidth}`);

  // --- boxes of HTML
  for (const e of document.body.querySelectorAll("*")) {
    if (e.closest("svg") || !seen(e)) continue;
    if (e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1)
      wrong.push(`wider than its box (${e.scrollWidth} in ${e.clientWidth}): ${words(e)}`);
    const box = e.getBoundingClientRect();
    if (box.right > root.clientWidth + 1 || box.left < -1) wrong.push(`beyond the page: ${words(e)}`);
  }

  // --- charts
  const charts = [...document.querySelectorAll("svg")].filter(seen);
  for (const figure of document.querySelectorAll("figure")) {
    const shown = [...figure.querySelectorAll("svg")].filter(seen).length;
    if (shown !== 1) wrong.push(`${shown} drawings of one chart are shown`);
  }
  const summary = charts.map((svg) => {
    const name = svg.closest("section").querySelector("h2").id;
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")];
    const boxes = texts.map((t) => t.getBoundingClientRect());
    if (!svg.getAttribute("aria-label") || svg.getAttribute("role") !== "img") wrong.push(`${name}: no words for those who can't see it`);
    if (matchMedia("print").matches && frame.height > 950) wrong.push(`${name}: taller than a printed page (${frame.height})`);
    texts.forEach((t, i) => {
      const b = boxes[i];
      if (b.left < frame.left - 1 || b.right > frame.right + 1 || b.top < frame.top - 1 || b.bottom > frame.bottom + 1)
        wrong.push(`${name}: leaves the chart: ${words(t)}`);
      for (let j = 0; j < i; j++) {
        const o = boxes[j];
        const across = Math.min(b.right, o.right) - Math.max(b.left, o.left);
        const down = Math.min(b.bottom, o.bottom) - Math.max(b.top, o.top);
        // Boxes of text have room above and below their letters.
        if (across > 2 && down > 0.3 * Math.min(b.height, o.height))
          wrong.push(`${name}: ${words(t)} lies on ${words(texts[j])}`);
      }
    });
    const size = texts.map((t) => parseFloat(getComputedStyle(t).fontSize) * frame.width / svg.viewBox.baseVal.width);
    const count = (tag) => svg.querySelectorAll(tag).length;
    return {
      name, smallest: Math.min(...size),
      marks: count("circle") + count("polyline") + count("polygon") + count("rect") - 1,
      texts: texts.map((t) => t.textContent.trim()),
    };
  });

  // --- contrast (WCAG 2, success criterion 1.4.3)
  const parse = (c) => { const [r, g, b, a = 1] = c.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
  const over = (top, below, a) => ({ r: top.r * a + below.r * (1 - a), g: top.g * a + below.g * (1 - a), b: top.b * a + below.b * (1 - a) });
  const luminance = ({ r, g, b }) => {
    const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
  const ground = (e) => {
    for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.a > 0) return c; }
    return { r: 255, g: 255, b: 255 };
  };
  let lowest = 21;
  const judge = (e, text, below) => {
    const ratio = contrast(text, below);
    lowest = Math.min(lowest, ratio);
    if (ratio < 4.5) wrong.push(`contrast ${ratio.toFixed(2)}: ${words(e)}`);
  };
  for (const e of document.body.querySelectorAll("*")) {
    if (e.closest("svg") || !seen(e)) continue;
    if ([...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) judge(e, parse(getComputedStyle(e).color), ground(e));
  }
  for (const svg of charts) {
    for (const t of svg.querySelectorAll("text")) {
      const b = t.getBoundingClientRect();
      const [x, y] = [(b.left + b.right) / 2, (b.top + b.bottom) / 2];
      let below = ground(svg);
      for (const r of svg.querySelectorAll("rect")) {
        if (!(r.compareDocumentPosition(t) & Node.DOCUMENT_POSITION_FOLLOWING)) break;
        const box = r.getBoundingClientRect();
        if (box.left <= x && x <= box.right && box.top <= y && y <= box.bottom)
          below = over(parse(getComputedStyle(r).fill), below, parseFloat(r.getAttribute("opacity")));
      }
      judge(t, parse(getComputedStyle(t).fill), below);
    }
  }
  const paper = ground(document.body);
  return { wrong, charts: summary, lowest, paper: [paper.r, paper.g, paper.b] };
})()
