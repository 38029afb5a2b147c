// A line over a curve that follows the hand; where it is let go is a count, and the page is told.
//
// The pointer, the keys and the reports are those of every Slider: dragging.js, which comes before this file.

const CATCH = 8;                          // CSS pixels: so near to a measured count the line is caught by it
const TENTHS = 10;                        // arrow keys for the way between two measured counts
const MARGIN = { left: 48, right: 14, top: 38, bottom: 62 };
const STEM = 11;                          // CSS pixels from the axis down to the grip, which covers no point there
const APART = 46;                         // CSS pixels a number under the axis needs

export default function (component) {
  return mount(DragLine, ".curve", component, component.data);
}

function made(name, attributes, text) {
  const one = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  if (text !== undefined) one.textContent = text;
  return one;
}

function grouped(count) {
  return count.toLocaleString("en");
}

class DragLine extends Slider {
  constructor(root) {
    super(root);
    this.count = 0;                       // where the line is
  }

  take(scene) {
    if (this.accepts(scene)) this.count = scene.count;
    this.part.field.setAttribute("aria-label", scene.label);
    this.part.field.setAttribute("aria-valuemin", scene.counts[0]);
    this.part.field.setAttribute("aria-valuemax", scene.counts.at(-1));
    this.draw();
  }

  // ---- what the person does

  get value() {
    return this.count;
  }

  jump(count) {
    const { counts } = this.scene;
    this.count = Math.max(counts[0], Math.min(counts.at(-1), count));
    this.show();
  }

  go(count) {
    this.jump(count);
  }

  step(by) {
    const place = this.place(this.count), count = this.at((Math.round(place * TENTHS) + by) / TENTHS);
    return count === this.count ? count + by : count;                // where a tenth is less than one concept
  }

  leap(by) {
    const { counts } = this.scene;
    return (by > 0 ? counts.find((one) => one > this.count) : counts.findLast((one) => one < this.count)) ?? this.count;
  }

  end(by) {
    return this.scene.counts.at(by > 0 ? -1 : 0);
  }

  report() {
    this.say("count", this.count);
  }

  // ---- places: 0 is the first measured count, 1 the second, and so on

  place(count) {
    const { counts } = this.scene, last = counts.length - 1;
    if (!last) return 0;
    let low = 0;
    while (low < last - 1 && counts[low + 1] <= count) low += 1;
    return low + (count - counts[low]) / (counts[low + 1] - counts[low]);
  }

  at(place) {
    const { counts, round_above, round_to } = this.scene, last = counts.length - 1;
    const held = Math.max(0, Math.min(last, place)), low = Math.min(Math.floor(held), Math.max(0, last - 1));
    if (!last) return counts[0];
    const apart = counts[low + 1] - counts[low], step = apart > round_above ? round_to : 1;
    return counts[low] + Math.min(apart, Math.round((held - low) * apart / step) * step);
  }

  x(place) {
    return MARGIN.left + (place + 0.5) * this.wide / this.scene.counts.length;
  }

  under(event) {
    const { counts } = this.scene, each = this.wide / counts.length;
    const x = event.clientX - this.part.field.getBoundingClientRect().left;
    const place = (x - MARGIN.left) / each - 0.5, near = Math.round(place);
    return this.at(Math.abs(place - near) * each <= CATCH ? near : place);
  }

  nearest() {
    const { counts } = this.scene;        // the first of two that are equally near, as in the core
    return counts.reduce((best, one, at) => Math.abs(one - this.count) < Math.abs(counts[best] - this.count) ? at : best, 0);
  }

  // ---- what is shown

  resize() {
    this.draw();
  }

  draw() {
    const { part, scene } = this;
    if (!scene || !part.field.clientWidth) return;
    this.wide = part.field.clientWidth - MARGIN.left - MARGIN.right;
    this.high = part.field.clientHeight - MARGIN.top - MARGIN.bottom;
    const y = (share) => MARGIN.top + (1 - share) * this.high, foot = MARGIN.top + this.high;
    const drawn = [];
    for (const share of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
      drawn.push(made("line", { class: "grid", x1: MARGIN.left, x2: MARGIN.left + this.wide, y1: y(share), y2: y(share) }));
      drawn.push(made("text", { x: MARGIN.left - 8, y: y(share) + 4, "text-anchor": "end" }, `${Math.round(100 * share)} %`));
    }
    const each = this.wide / scene.counts.length, every = Math.max(1, Math.ceil(APART / each));
    scene.counts.forEach((count, at) => {
      if ((scene.counts.length - 1 - at) % every) return;
      drawn.push(made("text", { x: this.x(at), y: foot + 38, "text-anchor": "middle" }, grouped(count)));
    });
    drawn.push(made("text", { x: MARGIN.left + this.wide / 2, y: foot + 59, "text-anchor": "middle" }, "Concepts excluded"));
    this.marks = scene.lines.map((line) => {
      const path = line.points.map((one, at) => `${this.x(at)},${y(one.mean)}`).join("L");
      drawn.push(made("path", {
        class: "path", d: `M${path}`, stroke: line.colour, "stroke-dasharray": line.shape === "circle" ? "none" : "7 5",
      }));
      return line.points.map((one, at) => {
        if (one.high > one.low) drawn.push(made("path", {
          class: "bar", stroke: line.colour,
          d: `M${this.x(at)},${y(Math.min(1, one.high))}V${y(Math.max(0, one.low))}`,
        }));
        const mark = made("g", { transform: `translate(${this.x(at)},${y(one.mean)})` });
        const shape = this.shape(line, 9);
        shape.append(made("title", {}, one.title));
        mark.append(shape);
        drawn.push(mark);
        return { shape, x: this.x(at), y: y(one.mean), text: one.text };
      });
    });
    this.values = scene.lines.map(() => made("text", { class: "value" }));
    part.svg.replaceChildren(...drawn, ...this.values);
    part.legend.replaceChildren(...scene.lines.map((line) => {
      const one = document.createElement("span"), icon = made("svg", { viewBox: "0 0 28 12" });
      const dash = line.shape === "circle" ? "none" : "7 5";
      icon.append(made("path", { class: "path", d: "M0,6H28", stroke: line.colour, "stroke-dasharray": dash }));
      const mark = made("g", { transform: "translate(14,6)" });
      mark.append(this.shape(line, 9));
      icon.append(mark);
      one.append(icon, line.name);
      return one;
    }));
    part.gone.style.top = part.needle.style.top = `${MARGIN.top}px`;
    part.gone.style.height = `${this.high}px`;
    part.needle.style.height = `${this.high + STEM}px`;
    part.gone.style.left = `${MARGIN.left}px`;
    part.grip.style.top = `${foot + STEM}px`;
    this.show();
  }

  shape(line, size) {
    return line.shape === "circle"
      ? made("circle", { class: "mark", r: size / 2, fill: line.colour })
      : made("rect", { class: "mark", x: -size / 2, y: -size / 2, width: size, height: size, fill: line.colour });
  }

  show() {
    const { part, scene } = this;
    if (!this.marks) return;
    const x = this.x(this.place(this.count)), near = this.nearest(), right = MARGIN.left + this.wide;
    part.needle.style.transform = part.grip.style.transform = `translateX(${x}px)`;
    part.gone.style.width = `${x - MARGIN.left}px`;
    part.pill.textContent = `${grouped(this.count)} excluded`;
    const half = part.pill.offsetWidth / 2;
    part.pill.style.transform = `translateX(${Math.max(half, Math.min(right + MARGIN.right - half, x)) - half}px)`;
    this.marks.forEach((marks, number) => {
      marks.forEach(({ shape }, at) => shape.setAttribute("transform", at === near ? "scale(1.5)" : "scale(1)"));
      const value = this.values[number], { x: from, y, text } = marks[near], left = from > right - 80;
      value.textContent = text;
      value.setAttribute("x", from + (left ? -12 : 12));
      value.setAttribute("y", y - 10);
      value.setAttribute("text-anchor", left ? "end" : "start");
    });
    const says = scene.lines.map((line) => `${line.name} ${line.points[near].text}`).join(", ");
    part.field.setAttribute("aria-valuenow", this.count);
    part.field.setAttribute(
      "aria-valuetext", `${grouped(this.count)} excluded; measured at ${grouped(scene.counts[near])}: ${says}`);
    this.root.dataset.count = this.count;
  }
}
