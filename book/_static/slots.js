// The slots of two runs, byte for byte: every <div class="slots"> becomes a map of rows to choose from and, under it, the
// chosen row as both runs have it, differing bytes lit. What stands inside the element is shown where scripts are off.
//
//   data-sentence  the words of the sentence, separated by spaces
//   data-again     how many words the other run read, a number for each: 3 4 5 ...
//   data-shape     the shape of one run's rows: K and V, layers, heads, slots, dims
//   data-stock     one run after another as hex, in C order: out of the cache, then read again with as many words
//   data-fixed     the same, on fixed-order operations
"use strict";

// Every text of the viewer, a language each; the page's own language is used where it is here.
const WORDS = {
  en: {
    operations: "Operations",
    stock: "stock",
    fixed: "fixed order",
    again: "Words read again",
    rows: "Rows",
    help: "Choose a row: by pointer, or with the arrow keys once one is chosen. Each shows which of its numbers differ, and how many.",
    layer: "layer",
    head: "head",
    cell: "{pair} row, layer {layer}, head {head}, slot {slot}, {word}: {differing} of {dims} words differ",
    sentence: "Read again: {sentence}",
    total: "{differing} of {rows} K and V rows differ.",
    row: "{pair} row of “{word}”: layer {layer}, head {head}, slot {slot}",
    differ: "{differing} of {dims} words differ. The first is dim {first}; the largest distance, in ULPs, is {largest}.",
    equal: "All {dims} words are equal: the same bytes.",
    legend: "For each number: its word out of the cache, its word read again, and the ULPs between them. The tint is the byte's value; a byte that differs is framed and underlined.",
    word: "dim {dim}: out of the cache {cached}, read again {again}, ULPs apart: {ulps}",
    same: "equal",
  },
  es: {
    operations: "Operaciones",
    stock: "de serie",
    fixed: "orden fijo",
    again: "Palabras releídas",
    rows: "Filas",
    help: "Elige una fila: con el puntero, o con las flechas una vez elegida alguna. Cada una muestra cuáles de sus números difieren, y cuántos.",
    layer: "capa",
    head: "cabeza",
    cell: "fila {pair}, capa {layer}, cabeza {head}, ranura {slot}, {word}: difieren {differing} de {dims} palabras",
    sentence: "Se vuelve a leer: {sentence}",
    total: "Difieren {differing} de {rows} filas de K y V.",
    row: "Fila {pair} de «{word}»: capa {layer}, cabeza {head}, ranura {slot}",
    differ: "Difieren {differing} de {dims} palabras. La primera es dim {first}; la mayor distancia, en ULP, es {largest}.",
    equal: "Las {dims} palabras son iguales: los mismos bytes.",
    legend: "De cada número: su palabra en la caché, su palabra al volver a leer, y los ULP entre las dos. El tono es el valor del byte; un byte que difiere va enmarcado y subrayado.",
    word: "dim {dim}: en la caché {cached}, al volver a leer {again}, ULP de distancia: {ulps}",
    same: "iguales",
  },
};

const say = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);

/** The words that a run's hex spells, as unsigned whole numbers. */
function wordsOf(hex) {
  return hex.match(/.{8}/g).map((word) => parseInt(word, 16));
}

const hexOf = (word) => word.toString(16).padStart(8, "0");

/** How many steps from float to float lie between two words, as courselib.bits.ulp_distance counts them. */
function ulps(a, b) {
  const place = (w) => (w >= 2 ** 31 ? 2 ** 32 - 1 - w : w + 2 ** 31);
  return Math.abs(place(a) - place(b));
}

/** For each of a word's four bytes, the highest first: does it differ? */
function bytesThatDiffer(a, b) {
  return [24, 16, 8, 0].map((shift) => ((a >>> shift) & 255) !== ((b >>> shift) & 255));
}

/** Two rows side by side: the distance of each pair of words, how many differ, the largest distance, the first dim (or -1). */
function compare(a, b) {
  const apart = a.map((word, i) => ulps(word, b[i]));
  return {
    apart,
    differing: apart.filter(Boolean).length,
    largest: Math.max(...apart),
    first: apart.findIndex(Boolean),
  };
}

/** The row at [pair, layer, head, slot] of a run's words, whose shape is [pairs, layers, heads, slots, dims]. */
function rowAt(words, shape, place) {
  const dims = shape[4];
  const row = place.reduce((index, at, axis) => index * shape[axis] + at, 0);
  return words.slice(row * dims, (row + 1) * dims);
}

/** Where a key leads from `at`, in a grid of so many rows and columns, at whose edges one stays; null for other keys. */
function step([row, column], key, rows, columns) {
  const to = {
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    Home: [0, 0],
    End: [rows - 1, columns - 1],
  }[key];
  const within = (at, n) => Math.min(Math.max(at, 0), n - 1);
  return to ? [within(to[0], rows), within(to[1], columns)] : null;
}

/** A row as stripes, one a number: a CSS gradient in the two colours of the style sheet. */
function stripes(apart) {
  const part = 100 / apart.length;
  const stops = apart.map((n, i) => `var(--slots-${n ? "differs" : "equal"}) ${i * part}% ${(i + 1) * part}%`);
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

function start(root, number) {
  const language = document.documentElement.lang.slice(0, 2);
  const words = WORDS[language] || WORDS.en;
  const format = new Intl.NumberFormat(language in WORDS ? language : "en", { useGrouping: "min2" });
  const show = (x) => format.format(x);
  const { sentence, again, shape: axes, stock, fixed } = root.dataset;
  const spoken = sentence.split(" ");
  const counts = again.split(" ").map(Number);
  const shape = axes.split(" ").map(Number);
  const [, layers, heads, slots, dims] = shape;
  const runs = { stock: stock.split(" ").map(wordsOf), fixed: fixed.split(" ").map(wordsOf) };
  const chosen = { operations: "stock", again: 0, pair: 0, at: [(layers - 1) * heads, 0] }; // the last layer: all came before it

  const make = (tag, name = "", text = "") => {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = text;
    return element;
  };

  // `at` is a place on the map: a line for each layer and head, a column for each slot.
  const placeOf = ([line, slot], pair = chosen.pair) => [pair, Math.floor(line / heads), line % heads, slot];
  function both(place) {
    const [cached, ...others] = runs[chosen.operations];
    return [cached, others[chosen.again]].map((run) => rowAt(run, shape, place));
  }

  function choice(name, label, options) {
    const group = make("fieldset", "slots-choice");
    group.append(make("legend", "", label));
    options.forEach(([value, text], i) => {
      const option = make("label");
      const input = make("input");
      Object.assign(input, { type: "radio", name: `slots-${number}-${name}`, checked: i === 0 });
      input.addEventListener("change", () => {
        chosen[name] = value;
        draw();
      });
      option.append(input, make("span", "", text));
      group.append(option);
    });
    return group;
  }
  const choices = make("div", "slots-choices");
  choices.append(
    choice("operations", words.operations, [["stock", words.stock], ["fixed", words.fixed]]),
    choice("again", words.again, counts.map((count, i) => [i, show(count)])),
    choice("pair", words.rows, [[0, "K"], [1, "V"]]),
  );
  const read = make("p", "slots-sentence");
  const total = make("p", "slots-total");
  total.setAttribute("aria-live", "polite"); // what a choice has changed; of a row, its button says it

  const map = make("table", "slots-map");
  const top = make("tr");
  [words.layer, words.head, ...spoken.slice(0, slots)].forEach((text, i) => {
    const cell = make("th", i < 2 ? "slots-number" : "slots-slot", text);
    cell.scope = "col";
    top.append(cell);
  });
  map.append(make("thead"), make("tbody"));
  map.tHead.append(top);
  const buttons = Array.from({ length: layers * heads }, (_, line) => {
    const row = make("tr");
    if (line % heads === 0) {
      const layer = make("th", "slots-layer", show(line / heads));
      layer.rowSpan = heads;
      row.append(layer);
    }
    row.append(make("th", "", show(line % heads)));
    map.tBodies[0].append(row);
    return Array.from({ length: slots }, (_, slot) => {
      const button = make("button");
      button.type = "button";
      button.append(make("span", "slots-stripes"), make("span", "slots-count"));
      button.addEventListener("click", () => choose([line, slot]));
      const cell = make("td");
      cell.append(button);
      row.append(cell);
      return button;
    });
  });
  map.addEventListener("keydown", (event) => {
    const to = buttons.flat().includes(event.target) && step(chosen.at, event.key, buttons.length, slots);
    if (!to) return;
    event.preventDefault(); // else the page scrolls
    choose(to);
  });

  const row = make("div", "slots-row");
  const [title, result] = [make("p", "slots-title"), make("p", "slots-result")];
  const list = make("ol", "slots-words");
  row.append(title, result, list, make("p", "slots-help", words.legend));

  function choose(at) {
    chosen.at = at;
    draw();
    buttons[at[0]][at[1]].focus({ preventScroll: true });
  }

  function drawWord(dim, cached, other, apart) {
    const item = make("li");
    const lit = bytesThatDiffer(cached, other);
    const seen = make("span");
    seen.setAttribute("aria-hidden", "true"); // one sentence says it, instead of sixteen digits
    for (const word of [cached, other]) {
      const line = make("span", "slots-word");
      lit.forEach((differs, i) => {
        const byte = make(differs ? "mark" : "span", "", hexOf(word).slice(2 * i, 2 * i + 2));
        byte.style.setProperty("--byte", parseInt(byte.textContent, 16) / 255);
        line.append(byte);
      });
      seen.append(line);
    }
    seen.append(make("span", "slots-apart", apart ? show(apart) : "="));
    const said = { dim: show(dim), cached: hexOf(cached), again: hexOf(other), ulps: apart ? show(apart) : words.same };
    item.append(seen, make("span", "slots-spoken", say(words.word, said)));
    return item;
  }

  function draw() {
    let differingRows = 0;
    buttons.forEach((line, i) => line.forEach((button, slot) => {
      const found = [0, 1].map((pair) => compare(...both(placeOf([i, slot], pair))));
      differingRows += found.filter((pair) => pair.differing).length;
      const { apart, differing } = found[chosen.pair];
      const [pair, layer, head] = placeOf([i, slot]);
      const here = chosen.at[0] === i && chosen.at[1] === slot;
      button.tabIndex = here ? 0 : -1;
      button.setAttribute("aria-pressed", here);
      button.setAttribute("aria-label", say(words.cell, {
        pair: "KV"[pair], layer: show(layer), head: show(head), slot: show(slot), word: spoken[slot],
        differing: show(differing), dims: show(dims),
      }));
      button.classList.toggle("differs", differing > 0);
      button.children[0].style.backgroundImage = stripes(apart);
      button.children[1].textContent = differing ? show(differing) : "=";
    }));
    read.textContent = say(words.sentence, { sentence: spoken.slice(0, counts[chosen.again]).join(" ") });
    total.textContent = say(words.total, { differing: show(differingRows), rows: show(2 * layers * heads * slots) });

    const place = placeOf(chosen.at);
    const [cached, other] = both(place);
    const { apart, differing, largest, first } = compare(cached, other);
    const [pair, layer, head, slot] = place;
    title.textContent = say(words.row, {
      pair: "KV"[pair], word: spoken[slot], layer: show(layer), head: show(head), slot: show(slot),
    });
    result.textContent = say(differing ? words.differ : words.equal, {
      differing: show(differing), dims: show(dims), first: show(first), largest: show(largest),
    });
    list.replaceChildren(...cached.map((word, dim) => drawWord(dim, word, other[dim], apart[dim])));
  }

  draw();
  root.replaceChildren(choices, read, total, make("p", "slots-help", words.help), map, row);
  root.classList.add("slots-live");
}

if (typeof document !== "undefined") document.querySelectorAll(".slots").forEach(start);
else module.exports = { WORDS, bytesThatDiffer, compare, rowAt, step, stripes, ulps, wordsOf }; // for the tests
