// A sum whose order the reader chooses: for every <div class="sum-order">, the table inside it (which is what shows where
// scripts are off) becomes a list whose rows move, by pointer or by arrow keys. Arithmetic is float32: Math.fround
// rounds to it, and a sum of two float32 worked out in double and rounded once more is the IEEE float32 sum.
//
//   data-terms    the numbers, separated by spaces, in the order to begin with
//   data-exact    their exact sum, rounded to float32
//   data-answers  how many answers there are in all orders
"use strict";

// Every text of the viewer, a language each; the page's own language is used where it is here.
const WORDS = {
  en: {
    help: "Drag a row by its handle, or choose it and press the up and down arrow keys.",
    number: "number",
    running: "running sum",
    rounded: "rounded by",
    handle: "drag",
    row: "{number}, at place {place} of {places}; running sum {sum}, rounded by {rounded}, word {hex}",
    sum: "Sum: {sum}",
    word_of_sum: "0x{hex}: sign {sign}, exponent {exponent}, fraction {fraction}.",
    right: "This is the exact sum: 0 ULPs from it.",
    wrong: "{ulps} ULPs from the exact sum, {exact}.",
    seen: "Different answers seen so far: {seen} of {answers}.",
    moved: "{number} is at place {place} now; the sum is {sum}.",
    first: "First order",
    ascending: "Smallest first",
    shuffle: "Shuffle",
  },
  es: {
    help: "Arrastra una fila por el asa, o elígela y pulsa las flechas arriba y abajo.",
    number: "número",
    running: "acumulado",
    rounded: "error",
    handle: "arrastrar",
    row: "{number}, en el lugar {place} de {places}; acumulado {sum}, error de redondeo {rounded}, palabra {hex}",
    sum: "Suma: {sum}",
    word_of_sum: "0x{hex}: signo {sign}, exponente {exponent}, fracción {fraction}.",
    right: "Es la suma exacta: a 0 ULP de ella.",
    wrong: "A {ulps} ULP de la suma exacta, {exact}.",
    seen: "Respuestas distintas vistas hasta ahora: {seen} de {answers}.",
    moved: "{number} está ahora en el lugar {place}; la suma es {sum}.",
    first: "Orden inicial",
    ascending: "De menor a mayor",
    shuffle: "Barajar",
  },
};

const say = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);

/** The word of a float32, as an unsigned whole number. */
function word(x) {
  return new Uint32Array(Float32Array.of(x).buffer)[0];
}

/** A float32's word in hex, and its three fields in binary. */
function fields(x) {
  const binary = word(x).toString(2).padStart(32, "0");
  return {
    hex: word(x).toString(16).padStart(8, "0"),
    sign: binary.slice(0, 1),
    exponent: binary.slice(1, 9),
    fraction: binary.slice(9),
  };
}

/** How many steps from float to float lie between a and b, as courselib.bits.ulp_distance counts them. */
function ulps(a, b) {
  const place = (w) => (w >= 2 ** 31 ? 2 ** 32 - 1 - w : w + 2 ** 31);
  return Math.abs(place(word(a)) - place(word(b)));
}

/** After each term: the running float32 sum, and by how much rounding moved it in that step (Knuth's TwoSum, exact). */
function runningSums(terms) {
  const f = Math.fround;
  let total = 0;
  return terms.map((term) => {
    const sum = f(total + term);
    const part = f(sum - total);
    const lost = f(f(total - f(sum - part)) + f(term - part));
    total = sum;
    return { sum, rounded: lost === 0 ? 0 : -lost };
  });
}

/** A copy of the list in which the item at `from` is at `to`. */
function move(list, from, to) {
  const rest = list.filter((_, i) => i !== from);
  return [...rest.slice(0, to), list[from], ...rest.slice(to)];
}

function shuffled(list) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

function start(root) {
  const language = document.documentElement.lang.slice(0, 2);
  const words = WORDS[language] || WORDS.en;
  const number = new Intl.NumberFormat(language in WORDS ? language : "en", { maximumFractionDigits: 9, useGrouping: "min2" });
  const show = (x) => number.format(x).replace("-", "−");
  const signed = (x) => (x > 0 ? "+" : "") + show(x);
  const first = root.dataset.terms.split(" ").map(Number);
  const exact = Number(root.dataset.exact);
  const seen = new Set();
  let order = first;
  let dragged = null;

  const make = (tag, name, text = "") => {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = text;
    return element;
  };

  const head = make("div", "sum-order-head");
  head.setAttribute("aria-hidden", "true"); // each row says it in words
  head.append(make("span", "handle"), ...["number", "running", "rounded"].map((name) => make("span", name, words[name])));
  const list = make("ol", "sum-order-rows");
  const rows = first.map(() => {
    const row = make("li", "sum-order-row");
    row.tabIndex = 0;
    const handle = make("span", "handle", "⠿");
    handle.title = words.handle;
    row.append(handle, ...["number", "running", "rounded", "word"].map((name) => make("span", name)));
    list.append(row);
    return row;
  });
  const buttons = make("div", "sum-order-buttons");
  const orders = { first: () => first, ascending: () => [...first].sort((a, b) => a - b), shuffle: () => shuffled(first) };
  for (const [name, choose] of Object.entries(orders)) {
    const button = make("button", "", words[name]);
    button.type = "button";
    button.addEventListener("click", () => draw(choose()));
    buttons.append(button);
  }
  const result = make("div", "sum-order-result");
  const lines = ["sum", "", "", ""].map((name) => make("p", name));
  result.append(...lines);
  const spoken = make("p", "sum-order-spoken");
  spoken.setAttribute("aria-live", "polite");

  function draw(next) {
    order = next;
    const steps = runningSums(order);
    rows.forEach((row, i) => {
      const { sum, rounded } = steps[i];
      const bits = fields(sum);
      const [, term, running, moved, inHex] = row.children;
      term.textContent = i ? signed(order[i]) : show(order[i]);
      running.textContent = show(sum);
      moved.textContent = rounded ? signed(rounded) : "";
      inHex.replaceChildren(make("b", "", bits.hex), " ", make("span", "bits", `${bits.sign} ${bits.exponent} ${bits.fraction}`));
      row.classList.toggle("dragged", dragged === i);
      row.setAttribute("aria-label", say(words.row, {
        number: show(order[i]), place: i + 1, places: rows.length, sum: show(sum), rounded: show(rounded), hex: bits.hex,
      }));
    });
    const sum = steps[steps.length - 1].sum;
    const bits = fields(sum);
    seen.add(bits.hex);
    lines[0].textContent = say(words.sum, { sum: show(sum) });
    lines[1].textContent = say(words.word_of_sum, bits);
    const apart = ulps(sum, exact);
    lines[2].textContent = apart ? say(words.wrong, { ulps: show(apart), exact: show(exact) }) : words.right;
    lines[3].textContent = say(words.seen, { seen: seen.size, answers: root.dataset.answers });
    root.classList.toggle("exact", apart === 0);
    return sum;
  }

  function moveRow(from, to) {
    if (to === from || to < 0 || to >= rows.length) return from;
    if (dragged !== null) dragged = to;
    const sum = draw(move(order, from, to));
    rows[to].focus({ preventScroll: true });
    spoken.textContent = say(words.moved, { number: show(order[to]), place: to + 1, sum: show(sum) });
    return to;
  }

  list.addEventListener("keydown", (event) => {
    const at = rows.indexOf(event.target);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: rows.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault(); // else the page scrolls
    moveRow(at, to);
  });

  // The eight rows stay where they are, and what they show moves: so the list can hold on to the pointer.
  list.addEventListener("pointerdown", (event) => {
    const row = event.target.closest(".sum-order-row");
    const byHandle = event.target.classList.contains("handle");
    if (!row || event.button || (event.pointerType === "touch" && !byHandle)) return; // a finger elsewhere scrolls
    event.preventDefault();
    dragged = rows.indexOf(row);
    row.focus({ preventScroll: true });
    row.classList.add("dragged");
    list.setPointerCapture(event.pointerId);
  });
  list.addEventListener("pointermove", (event) => {
    if (dragged === null) return;
    const under = rows.findIndex((row) => event.clientY < row.getBoundingClientRect().bottom);
    moveRow(dragged, under < 0 ? rows.length - 1 : under);
  });
  const drop = () => {
    dragged = null;
    rows.forEach((row) => row.classList.remove("dragged"));
  };
  list.addEventListener("pointerup", drop);
  list.addEventListener("pointercancel", drop);

  draw(first);
  root.replaceChildren(make("p", "sum-order-help", words.help), head, list, buttons, result, spoken);
  root.classList.add("sum-order-live");
}

if (typeof document !== "undefined") document.querySelectorAll(".sum-order").forEach(start);
else module.exports = { WORDS, fields, move, runningSums, ulps, word }; // for the tests
