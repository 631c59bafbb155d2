// The stretch of time that the timeline shows, and the texts of times and values. Knows nothing of drawing.
"use strict";

class TimelineView {
  // Times are picoseconds; `whole` is the length of the step.
  constructor(whole) {
    this.whole = Math.max(1, whole);
    this.least = Math.min(this.whole, 100); // no clock has a shorter period worth looking at
    this.all();
  }

  get span() {
    return this.to - this.from;
  }

  all() {
    this.show(0, this.whole);
  }

  // Show [from, to], kept within the step and no shorter than `least`.
  show(from, to) {
    const span = Math.min(this.whole, Math.max(this.least, to - from));
    this.from = Math.min(Math.max(0, from), this.whole - span);
    this.to = this.from + span;
  }

  // Show `factor` times as much time; what is at `share` (0..1) of the view stays where it is.
  zoom(factor, share = 0.5) {
    const span = Math.min(this.whole, Math.max(this.least, this.span * factor));
    const fixed = this.from + share * this.span;
    this.show(fixed - share * span, fixed + (1 - share) * span);
  }

  // Move by a share of what is shown; later is positive.
  pan(share) {
    const by = share * this.span;
    this.show(this.from + by, this.to + by);
  }

  // Bring [from, to] into view, in the middle if it was not there.
  reveal(from, to) {
    if (from >= this.from && to <= this.to) return;
    const span = Math.max(this.span, Math.min(to - from, this.whole));
    const middle = (from + to) / 2;
    this.show(middle - span / 2, middle + span / 2);
  }

  // Times for about `most` ticks at 1, 2 or 5 times a power of ten.
  ticks(most) {
    const rough = this.span / Math.max(1, most);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const found = [];
    for (let n = Math.ceil(this.from / step); n * step <= this.to; n++) found.push(n * step);
    return { step, times: found };
  }
}

const TIME_UNITS = [[1e12, "s"], [1e9, "ms"], [1e6, "µs"], [1e3, "ns"], [1, "ps"]];

// A time in the unit that leaves digits before the point; with `step`, as many decimals as ticks that far apart need.
function timeText(ps, step = 0) {
  const [size, unit] = TIME_UNITS.find(([factor]) => Math.max(Math.abs(ps), step) >= factor) ?? [1, "ps"];
  const decimals = step ? Math.max(0, Math.ceil(-Math.log10(step / size) - 1e-9)) : 3;
  return `${Number((ps / size).toFixed(Math.min(decimals, 9))).toLocaleString("en", { maximumFractionDigits: 9 })} ${unit}`;
}

function valueText(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: value >= 1000 ? 15 : 4 });
}

// The index of the last of ascending `starts` that is not after `time`, at least 0.
function lastBefore(starts, time) {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= time) low = middle;
    else high = middle - 1;
  }
  return low;
}
