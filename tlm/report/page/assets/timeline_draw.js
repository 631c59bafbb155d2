// Draws the tracks of a timeline on a canvas. Every column of pixels shows the shares that states really had in it.
"use strict";

const TRACK_GAP = 9;
const AXIS_HEIGHT = 26;
const STATES_HEIGHT = 24;
const LANE_HEIGHT = 17;
const COUNTER_HEIGHT = 56;
const LABEL_HEIGHT = 17; // of a name above its track, where there is no room beside it
const NARROW = 620;

class TimelineDrawing {
  constructor(canvas, data) {
    this.canvas = canvas;
    this.data = data;
    this.tracks = data.tracks.map((track) => withStarts(track, data.end));
    this.hidden = new Set();
    this.selected = null;
    this.readColours();
  }

  get shown() {
    return this.tracks.filter((track) => !this.hidden.has(track.group));
  }

  // The style sheet's colours as the canvas needs them; to be called again when the theme changes.
  readColours() {
    const read = colourReader(this.canvas.parentElement);
    const names = ["ink", "soft", "line", "paper", "raised", "link"];
    this.colours = Object.fromEntries(names.map((name) => [name, read(name)]));
    this.labels = this.data.labels.map(({ colour }) => read(colour));
    this.series = Array.from({ length: 8 }, (_, n) => read(`series${n}`));
  }

  // Give every shown track its place for a canvas of `width` CSS pixels, and the canvas its height.
  layOut(width) {
    this.width = width;
    this.narrow = width < NARROW;
    this.left = this.narrow ? 0 : 160;
    let y = AXIS_HEIGHT;
    for (const track of this.shown) {
      if (this.narrow) y += LABEL_HEIGHT;
      track.y = y;
      track.height = heightOf(track);
      y += track.height + TRACK_GAP;
    }
    this.height = y;
    this.pen = sizedPen(this.canvas, width, y);
  }

  draw(view) {
    const { pen, colours } = this;
    this.view = view;
    this.columns = Math.max(1, Math.round(this.width - this.left));
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, this.width, this.height);
    pen.font = "12px system-ui, sans-serif";
    this.drawAxis();
    for (const track of this.shown) {
      pen.fillStyle = colours.raised;
      pen.fillRect(this.left, track.y, this.columns, track.height);
      this[{ states: "drawStates", streams: "drawStreams", counter: "drawCounter" }[track.kind]](track);
      this.drawName(track);
    }
    this.drawSelection();
  }

  x(time) {
    return this.left + ((time - this.view.from) / this.view.span) * this.columns;
  }

  drawAxis() {
    const { pen, colours, view } = this;
    const { step, times } = view.ticks(this.columns / 110);
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const time of times) {
      const x = this.x(time);
      pen.fillStyle = colours.line;
      pen.fillRect(x, 20, 1, this.height - 20);
      pen.fillStyle = colours.soft;
      const text = timeText(time, step);
      const half = pen.measureText(text).width / 2 + 2;
      pen.fillText(text, Math.min(Math.max(x, this.left + half), this.width - half), 6);
    }
    pen.fillStyle = colours.line; // where in the step the view is
    pen.fillRect(this.left, 0, this.columns, 3);
    pen.fillStyle = colours.link;
    const from = (view.from / view.whole) * this.columns;
    pen.fillRect(this.left + from, 0, Math.max(3, (view.span / view.whole) * this.columns), 3);
  }

  drawName(track) {
    const { pen, colours } = this;
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
    pen.fillStyle = colours.ink;
    const name = track.name.replaceAll("_", " ");
    if (this.narrow) {
      pen.fillText(track.note ? `${name}, ${track.note}` : name, 2, track.y - 5, this.width - 4);
      return;
    }
    const lines = track.note && track.height > 30 ? [name, track.note] : [track.note ? `${name}, ${track.note}` : name];
    lines.forEach((line, number) => {
      pen.fillStyle = number ? colours.soft : colours.ink;
      pen.fillText(line, 6, track.y + 16 + 16 * number, this.left - 12);
    });
  }

  // Add `value` times the share of each column that [from, to] covers to one of `kinds` rows of `sums`.
  cover(sums, kinds, kind, from, to, value) {
    const per = this.columns / this.view.span;
    const a = Math.max(0, (from - this.view.from) * per);
    const b = Math.min(this.columns, (to - this.view.from) * per);
    if (b <= a) return;
    const first = Math.floor(a);
    const last = Math.min(this.columns - 1, Math.floor(b));
    if (first === last) {
      sums[first * kinds + kind] += (b - a) * value;
      return;
    }
    sums[first * kinds + kind] += (first + 1 - a) * value;
    for (let column = first + 1; column < last; column++) sums[column * kinds + kind] += value;
    sums[last * kinds + kind] += (b - last) * value;
  }

  drawStates(track) {
    const kinds = this.labels.length;
    const sums = new Float64Array(this.columns * kinds);
    const { starts, states, lengths } = track;
    for (let i = lastBefore(starts, this.view.from); i < states.length && starts[i] < this.view.to; i++) {
      const end = starts[i] + lengths[i];
      const state = states[i];
      if (typeof state === "number") {
        this.cover(sums, kinds, state, starts[i], end, 1);
      } else {
        for (let n = 0; n < state.length; n += 2) this.cover(sums, kinds, state[n], starts[i], end, state[n + 1] / lengths[i]);
      }
    }
    this.drawStacks(track, sums, kinds, 1, this.labels);
    let busy = 0;
    for (let column = 0; column < this.columns; column++) busy += sums[column * kinds];
    track.note = `${((busy / this.columns) * 100).toFixed(busy === 0 ? 0 : 1)}% busy`;
  }

  drawCounter(track) {
    const kinds = track.series.length;
    const sums = new Float64Array(this.columns * kinds);
    const peaks = new Float64Array(this.columns);
    const { starts, values, most } = track;
    const per = this.columns / this.view.span;
    for (let i = lastBefore(starts, this.view.from); i < most.length && starts[i] < this.view.to; i++) {
      const end = i + 1 < starts.length ? starts[i + 1] : this.data.end;
      for (let kind = 0; kind < kinds; kind++) this.cover(sums, kinds, kind, starts[i], end, values[kind][i]);
      const first = Math.max(0, Math.floor((starts[i] - this.view.from) * per));
      const last = Math.min(this.columns, Math.ceil((end - this.view.from) * per));
      for (let column = first; column < last; column++) peaks[column] = Math.max(peaks[column], most[i]);
    }
    const highest = track.highest || 1;
    this.drawStacks(track, sums, kinds, highest, this.series);
    const { pen, colours } = this;
    pen.fillStyle = colours.ink; // the highest sum in each column, where that is more than the mean
    for (let column = 0; column < this.columns; column++) {
      const y = track.y + track.height * (1 - peaks[column] / highest);
      if (peaks[column] > 0) pen.fillRect(this.left + column, y, 1, 1);
    }
    track.note = `up to ${valueText(track.highest)}`;
  }

  // Draw each column's sums on top of each other, `whole` being the track's height; equal neighbours in one go.
  drawStacks(track, sums, kinds, whole, colours) {
    const { pen } = this;
    const palette = (kind) => colours[kind % colours.length];
    let first = 0;
    for (let column = 1; column <= this.columns; column++) {
      let same = column < this.columns;
      for (let kind = 0; same && kind < kinds; kind++) {
        same = Math.abs(sums[column * kinds + kind] - sums[first * kinds + kind]) < 1e-6 * whole;
      }
      if (same) continue;
      let y = track.y + track.height;
      for (let kind = 0; kind < kinds; kind++) {
        const height = (sums[first * kinds + kind] / whole) * track.height;
        if (height <= 0) continue;
        y -= height;
        pen.fillStyle = palette(kind);
        pen.fillRect(this.left + first, y, column - first, height);
      }
      first = column;
    }
  }

  drawStreams(track) {
    const { pen, view } = this;
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    track.starts.forEach((start, i) => {
      const end = start + track.lengths[i];
      if (end < view.from || start > view.to) return;
      const from = Math.max(this.left, this.x(start));
      const width = Math.max(1, Math.min(this.width, this.x(end)) - from);
      const y = track.y + track.lanes[i] * LANE_HEIGHT;
      pen.fillStyle = this.series[i % 2 ? 4 : 0];
      pen.fillRect(from, y, width, LANE_HEIGHT - 2);
      const room = width - 8;
      if (room > 24 && pen.measureText(track.names[i]).width <= room) {
        pen.fillStyle = i % 2 ? "#000" : "#fff";
        pen.fillText(track.names[i], from + 4, y + LANE_HEIGHT / 2 - 0.5);
      }
    });
  }

  drawSelection() {
    const { pen, colours, selected } = this;
    if (!selected || this.hidden.has(selected.track.group)) return;
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    const { from, to } = extent(selected.track, selected.index, this.data.end);
    const left = Math.max(this.left, this.x(from));
    const right = Math.min(this.width, this.x(to));
    if (right >= left) pen.strokeRect(left, selected.track.y - 1, Math.max(2, right - left), selected.track.height + 2);
  }
}

function withStarts(track, end) {
  if (track.kind === "states") {
    const starts = new Float64Array(track.lengths.length);
    let time = track.start;
    track.lengths.forEach((length, i) => {
      starts[i] = time;
      time += length;
    });
    return { ...track, starts };
  }
  return track.kind === "counter" ? { ...track, highest: track.most.reduce((a, b) => Math.max(a, b), 0) } : track;
}

function heightOf(track) {
  if (track.kind === "streams") return track.rows * LANE_HEIGHT;
  return track.kind === "states" ? STATES_HEIGHT : COUNTER_HEIGHT;
}

// When the interval, stream or value `index` of a track begins and ends.
function extent(track, index, end) {
  const from = track.starts[index];
  if (track.kind === "counter") return { from, to: index + 1 < track.starts.length ? track.starts[index + 1] : end };
  return { from, to: from + track.lengths[index] };
}
