// A face that follows the hand: pre-drawn pictures and a probability curve, moved along without asking the server.
//
// The pointer, the keys and the reports are those of every Slider: dragging.js, which comes before this file.

const AT_REST = 0.005;                    // standard deviations that nobody sees
const GLIDE = 45;                         // milliseconds in which a keyboard step loses two thirds of its distance
const LEAST_ODDS = 2, MOST_ODDS = 12;     // log-odds at the plot's upper edge: 88 % to certainty
const CELL = 56;                          // the least width and the height of a picture in the film, CSS pixels
const still = matchMedia("(prefers-reduced-motion: reduce)");

export default function (component) {
  return mount(Scrubber, ".scrub", component, unpack(component.data));
}

// Four bytes say how long the JSON head is; after it come the pictures, one behind the other.
function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  let from = 4 + length;
  const files = head.lengths.map((size) => new Blob([bytes.subarray(from, (from += size))], { type: "image/webp" }));
  const [before, after, ...frames] = files;
  return { ...head, before, after, frames };
}

function signed(number) {
  const text = Math.abs(number).toFixed(1);
  return Number(text) === 0 ? text : (number > 0 ? "+" : "\u2212") + text;
}

function percent(share) {
  if (share > 0.9995) return "over 99.9\u00a0%";
  return share < 0.0005 ? "under 0.1\u00a0%" : `${(100 * share).toFixed(1)}\u00a0%`;
}

// The height of a probability, 0 to 1: by log-odds, so that a concept's push shows near certainty too.
function height(share, reach) {
  const odds = Math.log(share / (1 - share));
  return 0.5 + Math.max(-reach, Math.min(reach, odds)) / (2 * reach);
}

// Text that stays costs no layout.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

class Scrubber extends Slider {
  constructor(root) {
    super(root);
    this.shift = 0;                       // where the marker is, standard deviations
    this.target = 0;                      // where it is going; the same but for a moment after a key
    this.frames = [];                     // decoded pictures of the strip, in the order of this.shifts
    this.shifts = [];
    this.ticking = 0;
    this.urls = {};
    this.odds = LEAST_ODDS;               // log-odds at the upper edge of the plot
  }

  close() {
    super.close();
    cancelAnimationFrame(this.ticking);
    this.frames.forEach((one) => one.close());
    Object.values(this.urls).forEach((one) => URL.revokeObjectURL(one.url));
  }

  // ---- what the page says

  take(scene) {
    const known = this.scene, other = known?.of !== scene.of;
    this.root.dataset.of = scene.of;
    if (this.accepts(scene)) {
      if (other) this.shift = this.target = scene.shift;
      else this.go(scene.shift);
    }
    if (known?.around !== scene.around && !scene.frames.length) this.empty();
    if (known?.curve.join() !== scene.curve.join()) this.trace();
    this.words();
    this.picture("before", scene.before, scene.before_key);
    this.picture("after", scene.after, scene.after_key);
    this.decode();
    this.schedule();
  }

  words() {
    const { part, scene } = this, { text } = scene;
    part.before_label.textContent = text.before;
    part.after_label.textContent = text.after;
    part.before_value.textContent = percent(scene.before_share);
    part.before_label.title = part.after_label.title = part.before_value.title = part.after_value.title = text.meaning;
    part.track.setAttribute("aria-label", text.slider);
    part.track.setAttribute("aria-valuemin", -scene.reach);
    part.track.setAttribute("aria-valuemax", scene.reach);
    this.root.style.setProperty("--class-color", scene.colour);
    part.ticks.replaceChildren(...[-1, -0.5, 0, 0.5, 1].map((where) => {
      const tick = document.createElement("span");
      tick.textContent = where ? signed(where * scene.reach).replace(/\.0$/, "") : "0";
      tick.style.left = `${50 * (where + 1)}%`;
      tick.dataset.at = where;
      return tick;
    }));
  }

  async decode() {
    const { strip, shifts, frames } = this.scene;
    if (!frames.length || strip === this.strip) return;
    this.strip = strip;
    let decoded;
    try {
      decoded = await Promise.all(frames.map((file) => createImageBitmap(file)));
    } catch {                             // the pictures of before stay
      return;
    }
    if (this.strip !== strip || !this.root.isConnected) return decoded.forEach((one) => one.close());
    this.frames.forEach((one) => one.close());
    this.frames = decoded;
    this.shifts = shifts;
    this.root.dataset.frames = decoded.length;
    this.root.dataset.pixels = decoded[0].width;
    this.film();
    this.schedule();
  }

  empty() {
    this.strip = "";
    this.frames.forEach((one) => one.close());
    this.frames = [];
    this.root.dataset.frames = 0;
  }

  async picture(name, file, key) {
    const shown = this.urls[name];
    if (!file.size) {
      if (name === "after" && shown) shown.stale = true;
      return;
    }
    const now = { key, shift: this.scene.shift, around: this.scene.around };
    if (shown?.key === key) return void Object.assign(shown, now, { stale: false });
    this.wanted = { ...this.wanted, [name]: key };
    const url = URL.createObjectURL(file), first = new Image();
    first.src = url;
    await first.decode().catch(() => null);
    if (this.wanted[name] !== key || !this.root.isConnected) return URL.revokeObjectURL(url);
    this.part[name].src = url;
    if (shown) URL.revokeObjectURL(shown.url);
    this.urls[name] = { ...now, url };
    this.root.dataset[name] = now.shift;
    this.schedule();
  }

  // ---- what the person does

  get value() {
    return this.target;
  }

  under(event) {
    const box = this.part.track.getBoundingClientRect();
    return ((event.clientX - box.left - this.part.track.clientLeft) / this.part.track.clientWidth * 2 - 1) *
      this.scene.reach;
  }

  clamped(shift) {
    return Math.max(-this.scene.reach, Math.min(this.scene.reach, shift));
  }

  snapped(shift) {
    const steps = Math.round(1 / this.scene.step);
    return Math.round(this.clamped(shift) * steps) / steps || 0;     // never -0
  }

  jump(shift) {
    this.shift = this.target = this.clamped(shift);
    this.schedule();
  }

  go(shift) {
    this.target = this.clamped(shift);
    if (still.matches) this.shift = this.target;
    this.schedule();
  }

  step(by, fine) {
    return this.beside(by * (fine ? this.scene.step : this.scene.stride));
  }

  leap(by) {
    return this.beside(by * this.scene.leap);
  }

  end(by) {
    return this.snapped(by * this.scene.reach);
  }

  beside(way) {
    return this.snapped(this.snapped(this.target) + way);
  }

  report() {
    const shift = this.snapped(this.target);
    this.go(shift);
    this.say("shift", shift);
  }

  // ---- what is shown

  schedule() {
    this.ticking ||= requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    this.ticking = 0;
    const ahead = this.target - this.shift;
    if (Math.abs(ahead) > AT_REST) {
      const gone = Math.min(100, now - (this.last ?? now - 16));
      this.shift += ahead * (1 - Math.exp(-gone / GLIDE));
      this.last = now;
      this.schedule();
    } else {
      this.shift = this.target;
      this.last = undefined;
    }
    this.draw();
  }

  draw() {
    const { part, scene, shift } = this;
    const { after } = this.urls;
    const resting = Boolean(after) && !after.stale && after.around === scene.around &&
      Math.abs(shift - after.shift) < AT_REST;
    this.root.classList.toggle("resting", resting);
    this.root.classList.toggle("waiting", !this.frames.length);
    if (this.frames.length && !resting) this.blend(part.canvas.getContext("2d"), shift, part.canvas.width);
    const share = this.share(shift), change = share - scene.before_share;
    write(part.after_value, percent(share));
    write(part.change, Math.abs(change) < 0.0005 ? "no change"
      : `${change > 0 ? "↑" : "↓"} ${signed(100 * change)}\u00a0points`);
    write(part.pill, `${signed(shift)}\u00a0SD`);
    const x = this.width * (shift / scene.reach + 1) / 2;
    part.needle.style.transform = `translateX(${x}px)`;
    part.dot.style.transform = `translate(${x}px, ${(1 - height(share, this.odds)) * this.height}px)`;
    const half = this.pill / 2;
    for (const tick of part.ticks.children) {
      const near = Math.abs(tick.dataset.at - shift / scene.reach) * this.width / 2 < half + 20;
      tick.style.opacity = near ? 0 : 1;                             // rather than half under the pill
    }
    part.pill.style.transform = `translateX(${Math.max(half, Math.min(this.width - half, x))}px) translateX(-50%)`;
    const [low, high] = shift < 0 ? [x, this.width / 2] : [this.width / 2, x];
    part.moved.style.clipPath = `inset(-4px ${this.width - high}px -4px ${low}px)`;
    const goal = this.snapped(this.target);
    const says = `${signed(goal)} standard deviations, ${percent(this.share(goal))} ${scene.text.class}`;
    if (says === part.track.getAttribute("aria-valuetext")) return;
    part.track.setAttribute("aria-valuenow", goal);
    part.track.setAttribute("aria-valuetext", says);
  }

  // The two pictures beside a shift, one over the other.
  blend(pen, shift, size, left = 0, height = size) {
    const last = this.shifts.length - 1;
    let low = 0;
    while (low < last - 1 && this.shifts[low + 1] <= shift) low += 1;
    const part = (shift - this.shifts[low]) / (this.shifts[low + 1] - this.shifts[low]);
    const top = (height - size) / 2;
    pen.globalAlpha = 1;
    pen.drawImage(this.frames[low], left, top, size, size);
    if (part > 0) {
      pen.globalAlpha = Math.min(1, part);
      pen.drawImage(this.frames[low + 1], left, top, size, size);
    }
  }

  // The probability between two points of the curve; at rest, the page's own number.
  share(shift) {
    const { curve, reach, shift: rest, share } = this.scene;
    if (Math.abs(shift - rest) < 1e-6) return share;
    const at = (shift / reach + 1) / 2 * (curve.length - 1);
    const low = Math.max(0, Math.min(curve.length - 2, Math.floor(at)));
    return curve[low] + (curve[low + 1] - curve[low]) * (at - low);
  }

  trace() {
    const { curve } = this.scene, last = curve.length - 1;
    const least = Math.min(...curve, ...curve.map((share) => 1 - share));
    this.odds = Math.max(LEAST_ODDS, Math.min(MOST_ODDS, 1.1 * Math.log((1 - least) / least)));
    const points = curve.map((share, i) => [200 * i / last, 100 - 100 * height(share, this.odds)]);
    const line = points.map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`).join("L");
    this.part.line.setAttribute("d", `M${line}`);
    this.part.moved_line.setAttribute("d", `M${line}`);
    this.part.area.setAttribute("d", `M0,100L${line}L200,100Z`);
  }

  film() {
    const { film } = this.part, pen = film.getContext("2d");
    if (!this.frames.length || !film.width) return;
    const least = Math.max(3, Math.floor(film.width / film.height)), cells = least - (least + 1) % 2;
    const wide = film.width / cells;      // an odd number, so that one of them shows the shift 0
    pen.imageSmoothingQuality = "high";
    for (let cell = 0; cell < cells; cell += 1) {
      const shift = ((cell + 0.5) / cells * 2 - 1) * this.scene.reach;
      this.blend(pen, shift, wide, cell * wide, film.height);
    }
  }

  resize() {
    const { part } = this, dense = Math.min(2, devicePixelRatio || 1);
    const side = Math.round(part.canvas.clientWidth * dense), wide = Math.round(part.film.clientWidth * dense);
    this.width = part.track.clientWidth;
    this.height = part.plot.clientHeight;
    this.pill = part.pill.offsetWidth;
    if (side !== part.canvas.width) part.canvas.width = part.canvas.height = side;
    if (wide !== part.film.width) {
      part.film.width = wide;
      part.film.height = CELL * dense;
    }
    this.film();
    if (this.scene) this.draw();
  }
}
