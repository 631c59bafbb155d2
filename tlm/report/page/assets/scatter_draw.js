// Draws the points of a sweep over two axes on a canvas, and finds the one beside a place.
"use strict";

const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"]];
const MARGIN = { left: 74, right: 18, top: 16, bottom: 46 };

// A value with its unit: SI prefixes for seconds, joules and bytes, digits as they are for the rest.
function unitText(value, unit) {
  if (!["s", "J", "B"].includes(unit) || value === 0) {
    return `${value.toLocaleString("en", { maximumSignificantDigits: Number.isInteger(value) ? 15 : 4 })} ${unit}`.trim();
  }
  const [factor, prefix] = PREFIXES.find(([size]) => Math.abs(value) >= size) ?? PREFIXES.at(-1);
  return `${Number((value / factor).toPrecision(4)).toLocaleString("en")} ${prefix}${unit}`;
}

// One axis over [low, high] of pixels [first, last], linear or logarithmic.
class ScatterAxis {
  constructor(values, logarithmic, first, last) {
    this.logarithmic = logarithmic && values.every((value) => value > 0);
    const scaled = values.map((value) => this.scale(value));
    const low = scaled.reduce((a, b) => Math.min(a, b), Infinity);
    const high = scaled.reduce((a, b) => Math.max(a, b), -Infinity);
    const room = (high - low) * 0.06 || (this.logarithmic ? 0.1 : Math.abs(high) * 0.1 || 1);
    this.low = low - room;
    this.high = high + room;
    this.first = first;
    this.last = last;
  }

  scale(value) {
    return this.logarithmic ? Math.log10(value) : value;
  }

  at(value) {
    return this.first + ((this.scale(value) - this.low) / (this.high - this.low)) * (this.last - this.first);
  }

  // About `most` values at 1, 2 or 5 times a power of ten.
  ticks(most) {
    if (this.logarithmic && this.high - this.low > 0.7) {
      const found = [];
      const factors = this.high - this.low > 3 ? [1] : [1, 2, 5];
      for (let power = Math.floor(this.low); power <= this.high; power++) {
        for (const factor of factors) found.push(factor * 10 ** power);
      }
      return found.filter((value) => this.scale(value) >= this.low && this.scale(value) <= this.high);
    }
    const [from, to] = this.logarithmic ? [10 ** this.low, 10 ** this.high] : [this.low, this.high];
    const rough = (to - from) / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const found = [];
    for (let n = Math.ceil(from / step); n * step <= to; n++) found.push(Number((n * step).toPrecision(12)));
    return found;
  }
}

class ScatterDrawing {
  constructor(canvas, data) {
    this.canvas = canvas;
    this.data = data;
    this.readColours();
  }

  readColours() {
    const read = colourReader(this.canvas.parentElement);
    const names = ["ink", "soft", "line", "paper", "link", "series0", "pale"];
    this.colours = Object.fromEntries(names.map((name) => [name, read(name)]));
  }

  layOut(width) {
    this.width = width;
    this.height = Math.round(Math.min(560, Math.max(300, width * 0.55)));
    this.pen = sizedPen(this.canvas, width, this.height);
  }

  // `shown` are the indices of the points; `x` and `y` numbers of axes; `selected` an index or -1.
  draw({ shown, x, y, logarithmic, selected }) {
    const { pen, colours, data, width, height } = this;
    const of = (axis) => shown.map((i) => data.axes[axis].values[i]);
    this.shown = shown;
    this.across = new ScatterAxis(of(x), logarithmic, MARGIN.left, width - MARGIN.right);
    this.upwards = new ScatterAxis(of(y), logarithmic, height - MARGIN.bottom, MARGIN.top);
    this.places = shown.map((i) => [this.across.at(data.axes[x].values[i]), this.upwards.at(data.axes[y].values[i])]);
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    this.drawAxes(data.axes[x], data.axes[y]);
    for (const front of [false, true]) {
      shown.forEach((i, n) => {
        if (data.front[i] === front) this.drawDot(n, front ? colours.series0 : colours.pale, front ? 5 : 4);
      });
    }
    const n = shown.indexOf(selected);
    if (n >= 0) {
      pen.strokeStyle = colours.ink;
      pen.lineWidth = 2.5;
      pen.beginPath();
      pen.arc(...this.places[n], 8.5, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  drawDot(n, colour, radius) {
    const { pen } = this;
    pen.fillStyle = colour;
    pen.strokeStyle = this.colours.paper;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.arc(...this.places[n], radius, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
  }

  drawAxes(x, y) {
    const { pen, colours, width, height } = this;
    pen.fillStyle = colours.line;
    const columns = this.across.ticks((width - MARGIN.left) / 75).map((value) => [this.across.at(value), unitText(value, x.unit)]);
    const rows = this.upwards.ticks(6).map((value) => [this.upwards.at(value), unitText(value, y.unit)]);
    for (const [at] of columns) pen.fillRect(at, MARGIN.top, 1, height - MARGIN.top - MARGIN.bottom);
    for (const [at] of rows) pen.fillRect(MARGIN.left, at, width - MARGIN.left - MARGIN.right, 1);
    pen.fillStyle = colours.soft;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const [at, text] of rows) pen.fillText(text, MARGIN.left - 6, at, MARGIN.left - 8);
    pen.textAlign = "center";
    let free = 0;
    for (const [at, text] of columns) {
      const half = pen.measureText(text).width / 2;
      if (at - half < free || at + half > width) continue;
      pen.fillText(text, at, height - MARGIN.bottom + 14);
      free = at + half + 8;
    }
    pen.fillStyle = colours.ink;
    pen.textAlign = "right";
    pen.fillText(x.name, width - MARGIN.right, height - 10);
    pen.textAlign = "left";
    pen.fillText(y.name, 4, 8);
  }

  // The index of the point nearest to a place, within a finger's width; -1 if there is none.
  near(x, y) {
    let best = -1;
    let least = 14 ** 2;
    this.places.forEach(([px, py], n) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) {
        least = distance;
        best = this.shown[n];
      }
    });
    return best;
  }
}
