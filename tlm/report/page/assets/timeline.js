// The timeline of a run: wheel, drag, pinch, buttons and keys move the view; a tip and a line of text tell what is where.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("timeline-data").textContent);
  const canvas = document.getElementById("timeline-canvas");
  const tip = document.getElementById("timeline-tip");
  const read = document.getElementById("timeline-read");
  document.getElementById("timeline-view").hidden = false;
  const view = new TimelineView(data.end);
  const drawing = new TimelineDrawing(canvas, data);
  const MOST_TRACKS = 8; // of a group that is shown from the start
  let asked = false;

  const ACTS = {
    in: () => view.zoom(0.5),
    out: () => view.zoom(2),
    left: () => view.pan(-0.2),
    right: () => view.pan(0.2),
    all: () => view.all(),
    up: () => choose(-1),
    down: () => choose(1),
    next: () => step(1),
    previous: () => step(-1),
  };
  const KEYS = {
    "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", Home: "all",
    ArrowUp: "up", ArrowDown: "down", n: "next", p: "previous",
  };

  function redraw() {
    asked = false;
    drawing.draw(view);
    canvas.dataset.from = Math.round(view.from);
    canvas.dataset.to = Math.round(view.to);
  }

  function ask() {
    if (!asked) requestAnimationFrame(redraw);
    asked = true;
  }

  function fit() {
    const width = canvas.clientWidth;
    if (width) {
      drawing.layOut(width);
      redraw();
    }
  }

  function act(name) {
    ACTS[name]();
    tip.hidden = true;
    ask();
  }

  // ------------------------------------------------------------------ what is where

  function lines(track, index) {
    const { from, to } = extent(track, index, data.end);
    const when = `${timeText(from)} to ${timeText(to)} (${timeText(to - from)})`;
    const name = track.name.replaceAll("_", " ");
    if (track.kind === "streams") return [`${name}: ${track.names[index]}`, when];
    if (track.kind === "counter") {
      const values = track.series.map((series, n) => `${series.replaceAll("_", " ")} ${valueText(track.values[n][index])}`);
      return [`${track.group}, ${name}`, when, ...values];
    }
    const state = track.states[index];
    if (typeof state === "number") return [`${name}: ${data.labels[state].name}`, when];
    const shares = [];
    for (let n = 0; n < state.length; n += 2) {
      shares.push(`${data.labels[state[n]].name} ${((state[n + 1] / track.lengths[index]) * 100).toFixed(1)}%`);
    }
    return [`${name}: intervals shorter than ${timeText(track.merged)} together`, when, ...shares];
  }

  // The track and the index of what lies under a point of the canvas, or null.
  function under(x, y) {
    const track = drawing.shown.find((each) => y >= each.y && y < each.y + each.height);
    if (!track || x < drawing.left) return null;
    const time = view.from + ((x - drawing.left) / drawing.columns) * view.span;
    if (track.kind !== "streams") {
      return time < track.starts[0] ? null : { track, index: lastBefore(track.starts, time) };
    }
    const lane = Math.floor((y - track.y) / LANE_HEIGHT);
    const index = track.starts.findIndex(
      (start, i) => track.lanes[i] === lane && start <= time && time < start + track.lengths[i],
    );
    return index < 0 ? null : { track, index };
  }

  function tell(event) {
    const box = canvas.getBoundingClientRect();
    const found = under(event.clientX - box.left, event.clientY - box.top);
    showTip(tip, event, found && lines(found.track, found.index));
  }

  function select(track, index) {
    drawing.selected = { track, index };
    const { from, to } = extent(track, index, data.end);
    view.reveal(from, to);
    read.textContent = lines(track, index).join("; ");
  }

  function choose(by) {
    const shown = drawing.shown;
    const at = drawing.selected ? shown.indexOf(drawing.selected.track) : by > 0 ? -1 : shown.length;
    const track = shown[Math.min(shown.length - 1, Math.max(0, at + by))];
    if (track) select(track, lastBefore(track.starts, view.from + view.span / 2));
  }

  function step(by) {
    if (!drawing.selected) return choose(1);
    const { track, index } = drawing.selected;
    select(track, Math.min(track.starts.length - 1, Math.max(0, index + by)));
  }

  // ------------------------------------------------------------------ hands

  const pointers = new Map();

  function share(clientX) {
    return (clientX - canvas.getBoundingClientRect().left - drawing.left) / drawing.columns;
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event.clientX);
    canvas.focus({ preventScroll: true });
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return tell(event);
    tip.hidden = true;
    const before = [...pointers.values()];
    pointers.set(event.pointerId, event.clientX);
    const now = [...pointers.values()];
    if (now.length === 1) {
      view.pan((before[0] - now[0]) / drawing.columns);
    } else { // two fingers: the distance between them is the zoom
      const apart = Math.abs(now[0] - now[1]);
      if (apart > 1) view.zoom(Math.abs(before[0] - before[1]) / apart, share((now[0] + now[1]) / 2));
    }
    ask();
  });

  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  canvas.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });

  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      view.pan((event.deltaX || event.deltaY) / drawing.columns);
    } else {
      view.zoom(Math.exp(event.deltaY / 400), Math.min(1, Math.max(0, share(event.clientX))));
    }
    tip.hidden = true;
    ask();
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    const name = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!name || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(name);
  });

  for (const button of document.querySelectorAll("#timeline [data-act]")) {
    button.addEventListener("click", () => act(button.dataset.act));
  }

  // ------------------------------------------------------------------ what is shown

  const groups = [...new Set(drawing.tracks.map((track) => track.group))];
  for (const group of groups) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = drawing.tracks.filter((track) => track.group === group).length <= MOST_TRACKS;
    if (!box.checked) drawing.hidden.add(group);
    box.addEventListener("change", () => {
      drawing.hidden[box.checked ? "delete" : "add"](group);
      fit();
    });
    label.append(box, ` ${group}`);
    document.getElementById("timeline-groups").append(label);
  }

  const stacked = drawing.tracks.filter((track) => track.kind === "counter" && track.series.length > 1);
  for (const series of new Set(stacked.map((track) => JSON.stringify(track.series)))) {
    const legend = document.createElement("ul");
    legend.className = "legend";
    JSON.parse(series).forEach((name, n) => {
      const entry = document.createElement("li");
      const colour = document.createElement("i");
      colour.className = `series${n % 8}`;
      entry.append(colour, name.replaceAll("_", " "));
      legend.append(entry);
    });
    document.getElementById("timeline-series").append(legend);
  }

  const merged = drawing.tracks.filter((track) => track.merged);
  if (merged.length) {
    const names = merged.map((track) => `${track.name.replaceAll("_", " ")} ${timeText(track.merged)}`);
    document.getElementById("timeline-merged").textContent =
      `Shorter intervals are shown together, as shares: ${names.join(", ")}; timeline.json has each of them.`;
  }

  document.addEventListener("themechange", () => {
    drawing.readColours();
    redraw();
  });
  new ResizeObserver(fit).observe(canvas.parentElement);
})();
