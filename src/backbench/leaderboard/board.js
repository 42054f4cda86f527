(() => {
  "use strict";
  const D = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");
  const framed = window.self !== window.top;
  const METRIC = new Map(D.metrics.map((m) => [m.key, m]));
  const WORDS = { better: "better", worse: "worse", equivalent: "equivalent", "not separated": "tied" };
  const FLIP = { better: "worse", worse: "better" };

  // --- building blocks: text only ever becomes a text node -------------------------------------

  function make(space, tag, attributes, children) {
    const node = space ? document.createElementNS(space, tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
    return node;
  }
  const el = (tag, attributes, ...children) => make(null, tag, attributes, children);
  const svg = (tag, attributes, ...children) =>
    make("http://www.w3.org/2000/svg", tag, attributes, children);

  function number(value, digits) {
    if (value === null || value === undefined) return "\u2013";
    return value.toFixed(digits).replace(/^-(?=[0.]+$)/, "").replace("-", "\u2212");
  }
  function signed(value, digits) {
    return (value > 0 ? "+" : "") + number(value, digits);
  }
  const interval = (low, high, digits, show = number) =>
    low === null ? "" : `[${show(low, digits)}, ${show(high, digits)}]`;
  function count(value) {
    if (value === null || value === undefined) return "\u2013";
    if (value >= 1e9) return `${(value / 1e9).toPrecision(3)} G`;
    if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
    if (value >= 1e4) return `${(value / 1e3).toPrecision(3)} k`;
    return String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
  }

  function section(title, lead, ...children) {
    const id = `s-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
    const node = el("section", { "aria-labelledby": id }, el("h2", { id }, title), el("p", { class: "lead" }, lead), children);
    main.append(node);
    return node;
  }
  function choice(label, options, chosen, change) {
    const select = el("select", { onchange: (event) => change(event.target.value) },
      options.map(([value, words]) => el("option", { value, selected: value === chosen }, words)));
    return el("label", {}, label, select);
  }
  const upper = (words) => words.charAt(0).toUpperCase() + words.slice(1);
  const scroller = (label, ...children) =>
    el("div", { class: D.rows.length > 30 && label !== "Ranking" ? "scroll tall" : "scroll", tabindex: 0, role: "group", "aria-label": label }, children);
  const metricChoice = (label, chosen, change) =>
    choice(label, D.metrics.map((m) => [m.key, m.label]), chosen, change);
  const rowChoice = (label, chosen, change) =>
    choice(label, D.rows.map((r, i) => [String(i), `${r.rank}. ${r.name}`]), String(chosen), (v) => change(Number(v)));

  // --- scales and marks ------------------------------------------------------------------------

  const W = 300;
  // Ticks at 1, 2 or 5 times a power of ten: the widest step that gives three of them.
  function nice(low, high) {
    const power = Math.ceil(Math.log10(high - low));
    const steps = [0, -1, -2].flatMap((k) => [5, 2, 1].map((m) => m * 10 ** (power + k)));
    const within = (step) => {
      const ticks = [];
      for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) ticks.push(k * step);
      return ticks;
    };
    const step = steps.find((s) => within(s).length >= 3) || steps[steps.length - 1];
    return { ticks: within(step), digits: Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)) };
  }
  function scale(values, include) {
    const known = values.concat(include).filter((v) => v !== null && Number.isFinite(v));
    let low = Math.min(...known), high = Math.max(...known);
    if (!known.length) { low = 0; high = 1; }
    const pad = (high - low) * 0.04 || Math.abs(high) * 0.02 || 0.5;
    low -= pad; high += pad;
    const x = (value) => ((value - low) / (high - low)) * W;
    return { x, ...nice(low, high) };
  }
  // Percentages instead of a viewBox: dots stay round and lines keep their width at every size.
  function mark(s, value, low, high, kind, extra) {
    const inside = (v) => Math.max(0, Math.min(W, s.x(v)));
    const at = (v) => `${(inside(v) / W) * 100}%`;
    const lines = s.ticks.map((t) => svg("line", { class: "grid", x1: at(t), x2: at(t), y1: 0, y2: "100%" }));
    const off = value === null ? 0 : Math.sign(s.x(value) - inside(value));
    const dot = off ? svg("text", { class: "off", x: off < 0 ? 0 : "100%", y: 19, "text-anchor": off < 0 ? "start" : "end" }, off < 0 ? "\u25C2" : "\u25B8")
      : svg("circle", { class: "dot", cx: at(value), cy: 15, r: 5 });
    const seen = value === null ? [] : [
      low === null || at(low) === at(high) ? null : svg("line", { class: "whisker", x1: at(low), x2: at(high), y1: 15, y2: 15 }), dot];
    return svg("svg", { class: kind, height: 30, "aria-hidden": "true" }, extra ? extra(at) : [], lines, seen);
  }
  function ticks(s) {
    const at = (v) => `${(s.x(v) / W) * 100}%`;
    return svg("svg", { height: 16, "aria-hidden": "true" },
      s.ticks.map((t) => svg("text", { x: at(t), y: 12, "text-anchor": "middle" }, number(t, s.digits))));
  }

  // Shade a cell, and take the text colour that reads on it.
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  function rgb(name) {
    const swatch = el("span", { style: null });
    swatch.style.color = `var(${name})`;
    document.body.append(swatch);
    probe.fillStyle = getComputedStyle(swatch).color;
    swatch.remove();
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
  }
  const luminance = (c) => c.map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  function shader() {
    const from = rgb("--ground"), to = rgb("--heat");
    return (node, share) => {
      const c = from.map((v, i) => Math.round(v + (to[i] - v) * Math.max(0, Math.min(1, share))));
      node.style.background = `rgb(${c})`;
      node.style.color = luminance(c) > 0.179 ? "#000" : "#fff";
      return node;
    };
  }
  const repaint = [];
  function painted(draw) {
    repaint.push(draw);
    draw();
  }

  // --- the board -------------------------------------------------------------------------------

  const shown = { metric: D.primary, key: "rank", down: false, filter: "", zoom: false };
  const open = new Set();

  // A task may report dozens of metrics; the details of a row have them all.
  const beside = () => D.metrics.filter((m) => m.key !== shown.metric).slice(0, 5);
  function columns() {
    const m = METRIC.get(shown.metric);
    const others = beside();
    const lowFirst = (key) => !METRIC.get(key).higher;
    return [
      { key: "rank", words: "Rank", value: (r) => r.index, down: false, kind: "rank" },
      { key: "name", words: D.compare, value: (r) => r.name.toLowerCase(), down: false, kind: "" },
      { key: m.key, words: m.label, value: (r) => r.scores[m.key][0], down: !lowFirst(m.key), kind: "num" },
      null,
      ...others.map((o) => ({ key: o.key, words: o.label, value: (r) => r.scores[o.key][0], down: !lowFirst(o.key), kind: "num wide" })),
    ];
  }

  function header(s) {
    return columns().flatMap((c) => {
      if (!c) return el("th", { scope: "col", class: "wide" }, "Against the best");
      const sorted = shown.key === c.key ? (shown.down ? "descending" : "ascending") : "none";
      const press = () => {
        shown.down = shown.key === c.key ? !shown.down : c.down;
        shown.key = c.key;
        drawBoard();
        document.querySelector(`#board th[data-key="${CSS.escape(c.key)}"] button`).focus();
      };
      const th = el("th", { scope: "col", class: c.kind, "aria-sort": sorted, "data-key": c.key }, el("button", { type: "button", onclick: press }, c.words));
      const plot = el("th", { scope: "col", class: "plot" }, el("span", { class: "said" }, "95% interval as a picture"), ticks(s));
      return c.key === "name" ? [th, plot] : [th];
    });
  }

  function against(row) {
    if (row.best) return el("span", { class: "soft" }, "the best");
    const c = row.toBest;
    if (!c) return "";
    const digits = METRIC.get(D.primary).digits;
    const words = WORDS[c[4]];
    const by = c[4] === "not separated" ? "" : ` (${signed(c[0], digits)})`;
    return el("span", { class: words === "tied" || words === "equivalent" ? "soft" : words }, words + by);
  }

  function badges(row) {
    const worst = row.flags.filter((f) => f.severity !== "note");
    if (!worst.length) return null;
    const kind = worst.some((f) => f.severity === "fault") ? "fault" : "warning";
    const rest = worst.length > 1 ? ` + ${worst.length - 1} more` : "";
    return el("span", { class: `flag ${kind}`, title: worst.map((f) => f.message).join("\n") }, worst[0].words + rest);
  }

  function line(row, s) {
    const m = METRIC.get(shown.metric);
    const [value, low, high] = row.scores[m.key];
    const id = `detail-${row.index}`;
    const toggle = () => { open.has(row.index) ? open.delete(row.index) : open.add(row.index); drawBoard(); document.querySelector(`[aria-controls="${id}"]`).focus(); };
    const guess = m.key === D.primary && D.chance !== null && s.x(D.chance) > 0
      ? (at) => [svg("line", { class: "guess", x1: at(D.chance), x2: at(D.chance), y1: 0, y2: "100%" })] : null;
    return el("tr", { class: row.first === 1 ? "top" : "" },
      el("td", { class: "rank" }, el("span", { class: "pill" }, row.rank)),
      el("th", { scope: "row", class: "name" },
        el("button", { type: "button", "aria-expanded": String(open.has(row.index)), "aria-controls": id, onclick: toggle }, row.name),
        row.about ? el("div", { class: "soft" }, row.about) : null,
        el("div", { class: "soft phone" }, against(row)), badges(row)),
      el("td", { class: "plot" }, mark(s, value, low, high, row.first === 1 ? "is-top" : "", guess)),
      el("td", { class: "num value" }, number(value, m.digits), " ", el("span", { class: "soft" }, interval(low, high, m.digits))),
      el("td", { class: "wide verdict" }, against(row)),
      beside().map((o) => el("td", { class: "num wide" }, number(row.scores[o.key][0], o.digits))));
  }

  function visible() {
    const words = shown.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const c = columns().find((column) => column && column.key === shown.key) || columns()[0];
    const known = (v) => v !== null && v !== undefined;
    return D.rows
      .filter((row) => words.every((word) => row.search.includes(word)))
      .sort((a, b) => {
        const x = c.value(a), y = c.value(b);
        if (!known(x) || !known(y)) return known(y) - known(x);
        return (x < y ? -1 : x > y ? 1 : a.index - b.index) * (shown.down ? -1 : 1);
      });
  }

  // A floor row far below squeezes the leaders together; offer a closer look at them.
  function zoomed() {
    const range = (rows) => { const v = rows.flatMap((r) => r.scores[D.primary].slice(0, 3)).filter((x) => x !== null); return Math.max(...v) - Math.min(...v); };
    if (!(range(D.rows.filter((row) => row.first === 1)) < 0.4 * range(D.rows))) return null;
    return el("label", {}, el("input", { type: "checkbox", onchange: (event) => { shown.zoom = event.target.checked; drawBoard(); } }), "Zoom in on the leaders");
  }

  const board = el("table", { id: "board" });
  const counted = el("span", { class: "count", role: "status" });
  function drawBoard() {
    const all = D.rows.flatMap((row) => row.scores[shown.metric].slice(0, 3));
    const leaders = D.rows.filter((row) => row.first === 1).flatMap((row) => row.scores[shown.metric].slice(0, 3));
    const s = scale(shown.zoom ? leaders : all, !shown.zoom && shown.metric === D.primary && D.chance !== null && D.rows.some((r) => r.flags.some((f) => f.name === "chance_level")) ? [D.chance] : []);
    const rows = visible();
    const body = rows.flatMap((row) => (open.has(row.index) ? [line(row, s), detail(row)] : [line(row, s)]));
    board.replaceChildren(
      el("caption", { class: "said" }, `Ranking by ${METRIC.get(D.primary).label}. Column headers sort; a name opens its details.`),
      el("thead", {}, el("tr", {}, header(s))), el("tbody", {}, body));
    counted.textContent = rows.length === D.rows.length ? "" : `${rows.length} of ${D.rows.length} rows`;
  }

  // --- one row in depth ------------------------------------------------------------------------

  const block = (title, kind, ...children) => el("div", { class: kind }, el("h3", {}, title), children);
  function table(caption, heads, rows) {
    return el("table", {}, el("caption", { class: "said" }, caption),
      el("thead", {}, el("tr", {}, heads.map((h, i) => el("th", { scope: "col", class: i ? "num" : "" }, h)))),
      el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((c, i) => (i ? el("td", { class: "num" }, c) : el("th", { scope: "row" }, c)))))));
  }

  function scores(row) {
    const remarks = D.metrics.some((m) => row.scores[m.key][4]);
    const lines = D.metrics.map((m) => {
      const [value, low, high, spread, remark] = row.scores[m.key];
      return [el("span", { title: m.about }, m.label), number(value, m.digits), interval(low, high, m.digits), number(spread, m.digits), ...(remarks ? [remark] : [])];
    });
    return block(`Scores, from ${row.basis}`, "whole", scroller(`Scores of ${row.name}`, table(`Scores of ${row.name}`, ["Metric", "Value", "95% interval", "Std over seeds", ...(remarks ? ["Remark"] : [])], lines)));
  }
  function classes(row) {
    const lines = D.classes.map((name, i) => [name, ...row.perClass[i].slice(0, 3).map((v) => number(v, 3)), String(row.perClass[i][3])]);
    return block("Classes", "", el("div", { class: "long", tabindex: 0, role: "group", "aria-label": `Classes of ${row.name}` },
      table(`Classes of ${row.name}`, ["Class", "Precision", "Recall", "F1", "Samples"], lines)));
  }
  function groups(row) {
    if (!row.groups.length) return null;
    const more = row.groups.length < D.groups ? ` (the ${row.groups.length} hardest of ${D.groups})` : "";
    const lines = row.groups.map(([name, n, share]) => [name, String(n), number(share, 3)]);
    return block(`Groups, hardest first${more}`, "", el("div", { class: "long", tabindex: 0, role: "group", "aria-label": `Groups of ${row.name}` },
      table(`Groups of ${row.name}`, ["Group", "Samples", "Accuracy"], lines)));
  }
  function flags(row) {
    if (!row.flags.length) return null;
    return block("Flags", "whole", el("ul", {}, row.flags.map((f) => el("li", {}, el("b", {}, `${f.words}: `), f.message,
      f.details.length ? el("ul", {}, f.details.map((d) => el("li", {}, d))) : null))));
  }
  function linked(text, link) {
    if (!link) return el("span", { class: "mono" }, text);
    const anchor = el("a", { class: "mono", href: link, target: "_blank", rel: "noopener" }, text);
    // A sandboxed frame may not open windows: give the address to copy.
    return framed ? el("span", { class: "mono" }, `${text} (${link})`) : anchor;
  }
  function lineage(row) {
    return block("Made from", "", el("dl", {}, row.lineage.flatMap(([label, items]) => [
      el("dt", {}, label), el("dd", {}, items.map(([text, link]) => el("div", {}, linked(text, link))))])));
  }
  function costs(row) {
    const lines = D.costs.filter((c) => row.cost[c.key] !== undefined).map((c) => [c.label, count(row.cost[c.key])]);
    return lines.length ? block("Cost", "", table(`Cost of ${row.name}`, ["What", "How much"], lines)) : null;
  }
  function detail(row) {
    return el("tr", { class: "detail", id: `detail-${row.index}` }, el("td", { colspan: 5 + beside().length },
      el("div", { class: "panel" }, flags(row), scores(row), classes(row), groups(row), lineage(row), costs(row))));
  }

  // --- paired differences ----------------------------------------------------------------------

  function pair(i, j) {
    if (i < j) return D.pairs[i][j - i - 1];
    const c = D.pairs[j][i - j - 1];
    return c && [-c[0], c[2] === null ? null : -c[2], c[1] === null ? null : -c[1], c[3], FLIP[c[4]] || c[4]];
  }
  function differences() {
    if (D.rows.length < 2) return;
    const m = METRIC.get(D.primary);
    const node = el("table", { id: "differences" });
    function draw(reference) {
      const others = D.rows.filter((row) => row.index !== reference);
      const found = others.map((row) => pair(row.index, reference));
      const s = scale(found.flatMap((c) => c.slice(0, 3)), [0, -D.rope, D.rope]);
      const band = (at) => [
        D.rope ? svg("rect", { class: "band", x: at(-D.rope), width: `${((s.x(D.rope) - s.x(-D.rope)) / W) * 100}%`, y: 0, height: "100%" }) : null,
        svg("line", { class: "zero", x1: at(0), x2: at(0), y1: 0, y2: "100%" })];
      const kinds = { better: "is-good", worse: "is-bad" };
      const lines = others.map((row, k) => {
        const [by, low, high, p, verdict] = found[k];
        const words = WORDS[verdict];
        return el("tr", {}, el("th", { scope: "row", class: "name" }, row.name),
          el("td", { class: "plot" }, mark(s, by, low, high, kinds[verdict] || "", band)),
          el("td", { class: "num" }, signed(by, m.digits), " ", el("span", { class: "soft" }, interval(low, high, m.digits, signed))),
          el("td", { class: kinds[verdict] ? words : "soft" }, words),
          el("td", { class: "num wide soft" }, p === null ? "\u2013" : p < 0.001 ? "< 0.001" : number(p, 3)));
      });
      node.replaceChildren(
        el("caption", { class: "said" }, `Difference in ${m.label} to ${D.rows[reference].name}`),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, D.compare), el("th", { scope: "col", class: "plot" }, el("span", { class: "said" }, "Difference as a picture"), ticks(s)),
          el("th", { scope: "col", class: "num" }, "Difference"), el("th", { scope: "col" }, "Verdict"), el("th", { scope: "col", class: "num wide" }, "p (Holm)"))),
        el("tbody", {}, lines));
    }
    const better = m.higher ? "right of the line is better" : "left of the line is better";
    const rope = D.rope ? ` Inside the shaded band (\u00b1${D.rope}) a difference would not matter.` : "";
    section("Differences", `Each row minus the reference in ${m.label}, on the same samples; ${better}. An interval that crosses the line cannot be told from no difference; the verdict also allows for the number of comparisons, so it is the stricter of the two.${rope}`,
      el("div", { class: "bar" }, rowChoice("Reference", 0, draw)), scroller("Differences", node));
    draw(0);
  }

  // --- folds, confusions -----------------------------------------------------------------------

  function legend(low, high) {
    const ramp = el("span", { class: "ramp" });
    ramp.style.background = "linear-gradient(to right, var(--ground), var(--heat))";
    ramp.style.border = "1px solid var(--line)";
    return el("div", { class: "legend" }, low, ramp, high);
  }
  function folds() {
    const m = METRIC.get(D.primary);
    const values = D.rows.flatMap((row) => row.folds).filter((v) => v !== null);
    if (D.folds.length < 2 || !values.length) return;
    const low = Math.min(...values), high = Math.max(...values);
    const dense = D.folds.length > 16;
    const node = el("table", { class: dense ? "heat dense" : "heat", id: "folds" });
    const draw = () => {
      const shade = shader();
      const cell = (row, v, k) => {
        const words = v === null ? "\u2013" : number(v, m.digits > 2 ? 2 : m.digits);
        const td = el("td", { title: `${row.name}, fold ${D.folds[k]}: ${number(v, m.digits)}`, class: v === null ? "none" : null }, dense ? el("span", { class: "said" }, words) : words);
        return v === null ? td : shade(td, (v - low) / (high - low || 1));
      };
      node.replaceChildren(el("caption", { class: "said" }, `${m.label} in each fold`),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, dense ? el("span", { class: "said" }, "Fold") : "Fold"), D.folds.map((f) => el("th", { scope: "col" }, f)))),
        el("tbody", {}, D.rows.map((row) => el("tr", {}, el("th", { scope: "row" }, row.name), row.folds.map((v, k) => cell(row, v, k))))));
    };
    section("Folds", `${upper(m.label)} in each test fold, seeds averaged. A dark or pale column is an easy or hard fold for everyone; a lone cell is worth a look.`,
      scroller("Scores by fold", node), legend(number(low, m.digits), number(high, m.digits)));
    painted(draw);
  }

  function matrix(row) {
    const shade = shader();
    const small = D.classes.length > 24;
    const cells = row.confusion.map((counts, i) => {
      const sum = counts.reduce((a, b) => a + b, 0) || 1;
      return el("tr", {}, el("th", { scope: "row", title: D.classes[i] }, D.classes[i]), counts.map((n, j) => {
        const words = n ? count(n) : "";
        return shade(el("td", { title: `${D.classes[i]} taken for ${D.classes[j]}: ${count(n)} (${((100 * n) / sum).toFixed(1)}%)` }, small ? el("span", { class: "said" }, words || "0") : words), n / sum);
      }));
    });
    return el("table", { class: small ? "heat dense" : "heat" },
      el("caption", { class: "said" }, `Confusion matrix of ${row.name}: true class in rows, predicted class in columns`),
      el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "soft" }, small ? el("span", { class: "said" }, "true class") : "true \u2193 predicted \u2192"), D.classes.map((c) => el("th", { scope: "col", class: "slant", title: c }, c)))),
      el("tbody", {}, cells));
  }
  function confusions() {
    if (!D.rows[0].confusion) return;
    const sides = [0, Math.min(1, D.rows.length - 1)].map((start, k) => {
      const place = scroller(`Confusion matrix ${k + 1}`);
      let now = start;
      const draw = () => place.replaceChildren(matrix(D.rows[now]));
        painted(draw);
      return el("div", {}, rowChoice(k ? "Right" : "Left", start, (v) => { now = v; draw(); }), place);
    });
    section("Confusions", "How many samples of each true class (rows) were given each class (columns), averaged over seeds; shading is the share of the row.",
      el("div", { class: "sides" }, D.rows.length > 1 ? sides : sides.slice(0, 1)));
  }

  // --- cost ------------------------------------------------------------------------------------

  function costPlot(key) {
    const m = METRIC.get(D.primary);
    const label = D.costs.find((c) => c.key === key);
    const rows = D.rows.filter((r) => r.cost[key] > 0 && r.scores[m.key][0] !== null);
    const w = 900, h = 380, left = 64, right = 30, top = 16, bottom = 48;
    const logs = rows.map((r) => Math.log10(r.cost[key]));
    const span = Math.max(...logs) - Math.min(...logs) || 1;
    const [x0, x1] = [Math.min(...logs) - span * 0.08, Math.max(...logs) + span * 0.16];
    const x = (v) => left + ((Math.log10(v) - x0) / (x1 - x0)) * (w - left - right);
    const s = scale(rows.flatMap((r) => r.scores[m.key].slice(0, 3)), []);
    const y = (v) => h - bottom - (s.x(v) / W) * (h - top - bottom);
    const decades = [];
    for (let e = Math.floor(x0); e <= Math.ceil(x1); e += 1) for (const k of span > 2.5 ? [1] : span > 0.9 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7]) { const v = k * 10 ** e; if (Math.log10(v) >= x0 && Math.log10(v) <= x1) decades.push(v); }
    const placed = [];
    const names = rows.length <= 25 ? rows.map((r) => {
      const text = r.name.length > 26 ? `${r.name.slice(0, 25)}\u2026` : r.name;
      const box = { x: x(r.cost[key]) + 10, y: y(r.scores[m.key][0]) + 4, w: text.length * 6.6 };
      if (box.x + box.w > w) box.x -= box.w + 20;
      while (placed.some((p) => Math.abs(p.y - box.y) < 13 && box.x < p.x + p.w && p.x < box.x + box.w)) box.y += 13;
      placed.push(box);
      return svg("text", { class: "label", x: box.x, y: box.y }, text);
    }) : [];
    // The rows that nothing cheaper beats.
    const cheap = [...rows].sort((a, b) => (label.more ? b.cost[key] - a.cost[key] : a.cost[key] - b.cost[key]));
    const sign = m.higher ? 1 : -1;
    let best = -Infinity;
    const front = cheap.filter((r) => { const v = sign * r.scores[m.key][0]; const keep = v > best; best = Math.max(best, v); return keep; });
    const path = front.map((r, i) => { const [px, py] = [x(r.cost[key]), y(r.scores[m.key][0])]; return i ? `H${px}V${py}` : `M${px},${py}`; }).join("");
    return svg("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `${m.label} against ${label.label}; the same figures are in the table below` },
      s.ticks.map((t) => [svg("line", { class: "grid", x1: left, x2: w - right, y1: y(t), y2: y(t) }), svg("text", { class: "axis", x: left - 10, y: y(t) + 4, "text-anchor": "end" }, number(t, s.digits))]),
      decades.map((v) => svg("text", { class: "axis", x: x(v), y: h - bottom + 18, "text-anchor": "middle" }, count(v))),
      svg("text", { class: "axis", x: (left + w - right) / 2, y: h - 6, "text-anchor": "middle" }, `${label.label} (log scale, ${label.more ? "right" : "left"} is cheaper)`),
      svg("path", { class: "best-line", d: path }),
      rows.map((r) => { const [v, lo, hi] = r.scores[m.key]; const cx = x(r.cost[key]); return svg("g", { class: r.first === 1 ? "is-top" : "" }, lo === null ? null : svg("line", { class: "whisker", x1: cx, x2: cx, y1: y(lo), y2: y(hi) }), svg("circle", { class: "dot", cx, cy: y(v), r: 6 }, svg("title", {}, `${r.name}: ${number(v, m.digits)}, ${label.label} ${count(r.cost[key])}`))); }),
      names);
  }
  function cost() {
    const known = D.costs.filter((c) => D.rows.filter((r) => r.cost[c.key] > 0).length > 1);
    if (!known.length) return;
    const place = el("div", { class: "cost scroll", tabindex: 0, role: "group", "aria-label": "Score against cost" });
    const draw = (key) => place.replaceChildren(costPlot(key));
    const list = table("Cost of every row", [D.compare, ...known.map((c) => c.label)], D.rows.map((r) => [r.name, ...known.map((c) => count(r.cost[c.key]))]));
    section("Cost", `${upper(METRIC.get(D.primary).label)} against what it costs. The dotted line joins the rows that nothing cheaper beats.`,
      el("div", { class: "bar" }, choice("Cost", known.map((c) => [c.key, c.label]), known[0].key, draw)), place,
      el("details", {}, el("summary", {}, "The same as a table"), scroller("Cost of every row", list)));
    draw(known[0].key);
  }

  // --- the rest --------------------------------------------------------------------------------

  function unranked() {
    if (!D.unranked.length) return;
    const lines = D.unranked.map((u) => el("tr", {}, el("th", { scope: "row" }, u.name, el("div", { class: "soft" }, linked(u.run.slice(0, 8), u.link))), el("td", {}, u.reason)));
    section("Not ranked", "These runs cannot be compared with the rows above; the reason stands beside each.",
      scroller("Runs without a rank", el("table", { id: "unranked" }, el("caption", { class: "said" }, "Runs without a rank"),
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Run"), el("th", { scope: "col" }, "Why"))), el("tbody", {}, lines))));
  }
  function reading() {
    section("How to read this", "", el("ul", {}, D.notes.map((n) => el("li", {}, n))),
      el("details", {}, el("summary", {}, "The metrics"), el("dl", {}, D.metrics.flatMap((m) => [el("dt", {}, m.label), el("dd", {}, m.about)]))));
  }

  // --- light and dark --------------------------------------------------------------------------

  function themes() {
    const button = document.getElementById("theme");
    const order = ["auto", "light", "dark"];
    const stored = () => { try { return localStorage.getItem("backbench.theme"); } catch { return null; } };
    const keep = (value) => { try { localStorage.setItem("backbench.theme", value); } catch { /* a sandboxed frame has no storage */ } };
    let now = order.includes(stored()) ? stored() : "auto";
    const apply = () => {
      if (now === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = now;
      button.textContent = `Theme: ${now}`;
      repaint.forEach((draw) => draw());
    };
    button.hidden = false;
    button.addEventListener("click", () => { now = order[(order.indexOf(now) + 1) % 3]; keep(now); apply(); });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
    apply();
  }

  if (D.rows.length) {
    const search = el("input", { type: "search", placeholder: "name or checkpoint", oninput: (event) => { shown.filter = event.target.value; drawBoard(); } });
    section("Ranking", D.rankingLead,
      el("div", { class: "bar" }, metricChoice("Show", D.primary, (value) => { shown.metric = value; drawBoard(); }),
        el("label", {}, "Filter", search), zoomed(), counted), scroller("Ranking", board));
    drawBoard();
    differences();
    folds();
    confusions();
    cost();
  }
  unranked();
  reading();
  themes();
})();
