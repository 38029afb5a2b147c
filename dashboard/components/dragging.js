// What is moved with a mouse, a finger or the keys, and when the page hears of it; goes before scrub.js, drag_line.js.
//
// A Slider lives in each mounted component. The page hands it a scene whenever it runs; it keeps where the person is,
// and a drag that is going on, as long as the scene is of the same thing. Each kind of Slider has
//   take(scene), resize(), report()        what the page says, the room there is, what the page is told
//   value                                  where it stands, or is on its way to
//   jump(value), go(value)                 to a value under the hand, and to one that a key or the page says
//   under(event)                           the value under the pointer
//   step(by, fine), leap(by), end(by)      the value after an arrow key, a page key, Home or End; by: 1 up, -1 down

const SETTLED = 350;                      // milliseconds after the last key until the value is reported
const ARROWS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
const LEAPS = { PageUp: 1, PageDown: -1 };
const ENDS = { Home: -1, End: 1 };

const sliders = new WeakMap();

// Hands the scene to the component's Slider, made when there is none; what Streamlit calls when the component goes.
function mount(Kind, selector, { parentElement, setStateValue }, scene) {
  let slider = sliders.get(parentElement);
  if (!slider?.root.isConnected) {
    slider = new Kind(parentElement.querySelector(selector));
    sliders.set(parentElement, slider);
  }
  slider.tell = (value) => setStateValue("moved", value);
  slider.take(scene);
  // Streamlit also calls this for a run that a later one has overtaken, while the component is still there.
  return () => slider.root.isConnected || slider.close();
}

class Slider {
  constructor(root) {
    this.root = root;
    this.part = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((one) => [one.dataset.part, one]));
    this.scene = null;
    this.turn = 0;                        // how often the person's choice was reported
    this.drag = null;                     // { pointer, from } while the pointer is down
    this.later = 0;                       // timer of a report that waits for the last key
    this.held = new Set();
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(root);
    this.listen(root.querySelector("[role=slider]"));
  }

  close() {
    this.sizes.disconnect();
    clearTimeout(this.later);
  }

  // ---- what the page says

  // Keeps the scene; true where its value is where we are: it is of something else, or the page has heard everything.
  accepts(scene) {
    const other = this.scene?.of !== scene.of;
    this.scene = scene;
    if (other) {
      this.drop();
      this.held.clear();
      this.calm();
    } else if (this.drag || this.later || scene.turn < this.turn) return false;
    this.turn = scene.turn;
    return true;
  }

  // ---- what the person does

  listen(handle) {
    handle.addEventListener("pointerdown", (event) => {
      if (event.button || !this.scene) return;
      handle.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true, focusVisible: false });
      event.preventDefault();
      this.calm();
      this.drag = { pointer: event.pointerId, from: this.value };
      this.root.classList.add("dragging");
      this.jump(this.under(event));
    });
    handle.addEventListener("pointermove", (event) => {
      if (event.pointerId === this.drag?.pointer) this.jump(this.under(event));
    });
    handle.addEventListener("pointerup", (event) => {
      if (event.pointerId !== this.drag?.pointer) return;
      this.jump(this.under(event));
      this.drop();
      this.report();
    });
    handle.addEventListener("pointercancel", (event) => {
      if (event.pointerId === this.drag?.pointer) this.back();       // the finger scrolls the page instead
    });
    handle.addEventListener("keydown", (event) => this.key(event));
    handle.addEventListener("keyup", (event) => {
      if (this.held.delete(event.key) && !this.held.size) this.soon();
    });
    handle.addEventListener("blur", () => {
      this.held.clear();
      if (this.later) this.report();
    });
  }

  key(event) {
    if (!this.scene || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && this.drag) return this.back();
    let value;
    if (event.key in ARROWS) value = this.step(ARROWS[event.key], event.shiftKey);
    else if (event.key in LEAPS) value = this.leap(LEAPS[event.key]);
    else if (event.key in ENDS) value = this.end(ENDS[event.key]);
    else return;
    event.preventDefault();
    this.held.add(event.key);
    this.calm();
    this.later = -1;                      // held: reported once it is let go
    this.go(value);
  }

  back() {
    const { from } = this.drag;
    this.drop();
    this.go(from);
  }

  drop() {
    this.drag = null;
    this.root.classList.remove("dragging");
  }

  // ---- what the page is told

  soon() {
    this.calm();
    this.later = setTimeout(() => this.report(), SETTLED);
  }

  calm() {
    clearTimeout(this.later);
    this.later = 0;
  }

  // Tells the page under this name what it does not know yet.
  say(name, value) {
    this.calm();
    if (value === this.scene[name] && this.turn === this.scene.turn) return;
    this.turn += 1;
    this.tell({ of: this.scene.of, [name]: value, turn: this.turn });
  }
}
