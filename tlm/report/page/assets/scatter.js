// The trade-offs of a sweep: axes to choose, the configuration under the pointer or by keys, and the table's filter.
"use strict";

(() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("scatter-data").textContent);
  const rows = [...find("points-table").tBodies[0].rows];

  filterTable();
  if (data.points.length) drawPoints();

  function filterTable() {
    const filter = find("points-filter");
    find("points-tools").hidden = false;
    const apply = () => {
      const marks = filter.value.split(" ");
      for (const row of rows) row.hidden = !marks.includes(row.dataset.mark);
      find("points-count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} points`;
    };
    filter.addEventListener("change", apply);
    apply();
  }

  function drawPoints() {
    const canvas = find("scatter-canvas");
    const [x, y, workload] = [find("scatter-x"), find("scatter-y"), find("scatter-workload")];
    const logarithmic = find("scatter-log");
    const tip = find("scatter-tip");
    find("scatter-view").hidden = false;
    const drawing = new ScatterDrawing(canvas, data);
    let selected = -1;

    function offer(select, names, chosen) {
      names.forEach((name, n) => select.append(new Option(name, n, false, n === chosen)));
      select.addEventListener("change", redraw);
    }

    function shown() {
      const all = data.points.map((_, i) => i);
      return workload.value === "" || workload.value === "-1"
        ? all : all.filter((i) => data.workload[i] === Number(workload.value));
    }

    function redraw() {
      if (!drawing.pen) return;
      drawing.draw({ shown: shown(), x: Number(x.value), y: Number(y.value), logarithmic: logarithmic.checked, selected });
      canvas.dataset.selected = selected < 0 ? "" : data.points[selected];
    }

    function lines(i) {
      const found = [`point ${data.points[i]}${data.front[i] ? ", on the front" : ""}`];
      data.keys.forEach((key, n) => found.push(`${key} = ${data.values[i][n]}`));
      for (const { name, unit, values, low, high } of data.axes.slice(0, 4)) {
        const range = low ? ` (${unitText(low[i], unit)} to ${unitText(high[i], unit)})` : "";
        found.push(`${name} ${unitText(values[i], unit)}${range}`);
      }
      found.push(`busiest: ${data.busiest[i]}`);
      if (data.workloads.length > 1) found.push(data.workloads[data.workload[i]]);
      return found;
    }

    function select(i) {
      selected = i;
      find("scatter-read").textContent = i < 0 ? "" : lines(i).join("; ");
      redraw();
    }

    // Go to the next point in the order of an axis; `only` says which ones count.
    function walk(axis, by, only = () => true) {
      const values = data.axes[axis].values;
      const order = shown().filter((i) => only(i) || i === selected).sort((a, b) => values[a] - values[b] || a - b);
      if (!order.length) return;
      const at = order.indexOf(selected);
      select(order[at < 0 ? (by > 0 ? 0 : order.length - 1) : (at + by + order.length) % order.length]);
    }

    function goToRow() {
      const row = rows.find((each) => Number(each.cells[0].dataset.value) === data.points[selected]);
      if (!row) return;
      row.hidden = false;
      row.tabIndex = -1;
      row.focus();
      row.scrollIntoView({ block: "center" });
    }

    const KEYS = {
      ArrowRight: () => walk(Number(x.value), 1),
      ArrowLeft: () => walk(Number(x.value), -1),
      ArrowUp: () => walk(Number(y.value), 1),
      ArrowDown: () => walk(Number(y.value), -1),
      f: () => walk(Number(x.value), 1, (i) => data.front[i]),
      Enter: goToRow,
      Escape: () => select(-1),
    };

    canvas.addEventListener("keydown", (event) => {
      const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    });

    function under(event) {
      const box = canvas.getBoundingClientRect();
      return drawing.near(event.clientX - box.left, event.clientY - box.top);
    }

    canvas.addEventListener("pointermove", (event) => {
      const i = under(event);
      showTip(tip, event, i < 0 ? null : lines(i));
    });
    canvas.addEventListener("pointerleave", () => {
      tip.hidden = true;
    });
    canvas.addEventListener("click", (event) => select(under(event)));

    const names = data.axes.map((axis) => axis.name);
    offer(x, names, names.indexOf(data.objectives[0]));
    offer(y, names, names.indexOf(data.objectives[1] ?? names.find((name) => name !== data.objectives[0])));
    offer(workload, data.workloads.length > 1 ? data.workloads : [], 0);
    find("scatter-workloads").hidden = data.workloads.length < 2;
    logarithmic.addEventListener("change", redraw);
    document.addEventListener("themechange", () => {
      drawing.readColours();
      redraw();
    });
    new ResizeObserver(() => {
      if (!canvas.clientWidth) return;
      drawing.layOut(canvas.clientWidth);
      redraw();
    }).observe(canvas.parentElement);
  }
})();
