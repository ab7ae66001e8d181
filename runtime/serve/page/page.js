// The player's page: shows the newest picture, says what is held down.

const $ = (name) => document.getElementById(name);
const canvas = $("picture");
const context = canvas.getContext("2d", { alpha: false });

// Keys of the controls by their place on the keyboard, in the names that the program knows.
const KEYS = {
  KeyW: "w", KeyA: "a", KeyS: "s", KeyD: "d", KeyQ: "q", KeyE: "e", KeyF: "f",
  ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right",
  PageUp: "page_up", PageDown: "page_down", Space: "space",
  ShiftLeft: "shift", ShiftRight: "shift", ControlLeft: "control", ControlRight: "control",
};
const MOUSE = ["mouse_left", "mouse_middle", "mouse_right"];
const STICK_PIXELS = 50; // from the middle of the drawn stick to its end
const NOTICE_LASTS = 4000; // milliseconds
const TOUCH_LOOK = 2; // fingers are slower than mice

let socket = null;
let status = { steering: false, free: true, paused: false, pages: 0 };
let retry = 500; // milliseconds until the next try to connect
let roundTrip = null; // milliseconds
let shown = []; // when the last pictures were drawn
let newest = null; // number of the picture that was drawn last
let missed = 0;
let age = 0; // milliseconds from a touch, or else from sampling the controls, to sending the picture
let drawing = false;
let waiting = null; // the newest picture that came while one was drawn
let told = null; // what the program said last
let fading = null; // the end of a notice
let hidPaused = false; // the walk is paused because this page was hidden

function say(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

// Says that something was touched, and how long ago: `event` knows when.
function sayTouch(message, event) {
  const ago = Math.max(0, performance.now() - event.timeStamp);
  say({ ...message, ago: Math.round(1000 * ago) / 1000 });
}

function connect() {
  const address = new URL("socket", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { retry = 500; newest = null; padBefore = ""; ping(); };
  socket.onmessage = ({ data }) => (typeof data === "string" ? hear(JSON.parse(data)) : receive(data));
  socket.onclose = ({ code, reason }) => {
    if (status.over) return; // the last word stays
    if (code === 1000) return tell(reason); // the walk was over before
    tell(reason || "no connection; trying again");
    told = null;
    setTimeout(connect, retry);
    retry = Math.min(2 * retry, 5000);
  };
}

function tell(text, lasts) {
  clearTimeout(fading);
  $("text").textContent = text;
  if (lasts) fading = setTimeout(() => { $("text").textContent = ""; }, lasts);
}

function hear(message) {
  if (message.type === "pong") {
    roundTrip = performance.now() - message.at;
    return;
  }
  status = message;
  document.title = message.world ? `Oneiro: ${message.world}` : "Oneiro";
  const role = message.steering ? "" : message.free ? "press a key to steer" : "watching";
  const badges = [role, message.paused ? "paused" : "", message.recording ? "recording" : ""];
  $("badges").textContent = badges.filter(Boolean).join(", ");
  if (message.text !== told) tell(message.text, message.world && !message.over ? NOTICE_LASTS : null);
  told = message.text;
  $("pause").textContent = message.paused ? "go on" : "pause";
}

function receive(data) {
  const view = new DataView(data);
  const number = Number(view.getBigUint64(0, true));
  const picture = { number, age: view.getUint32(8, true) / 1000, jpeg: data.slice(12) };
  // Seen is what was received: decoding is quick, and the program waits for the word.
  say({ type: "seen", number });
  if (newest !== null && number > newest + 1) missed += number - newest - 1;
  newest = number;
  if (drawing) waiting = picture;
  else draw(picture);
}

async function draw(picture) {
  drawing = true;
  try {
    const bitmap = await createImageBitmap(new Blob([picture.jpeg], { type: "image/jpeg" }));
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    canvas.dataset.frame = picture.number;
    age = picture.age;
    shown.push(performance.now());
  } finally {
    drawing = false;
  }
  const next = waiting;
  waiting = null;
  if (next) draw(next);
}

// Keys.

function commandOf(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return null;
  switch (event.code) {
    case "KeyP": return pause;
    case "KeyN": return () => say({ type: "next" });
    case "KeyR": return () => say({ type: "record" });
    case "KeyB": return () => say({ type: event.shiftKey ? "go_back" : "bookmark" });
    case "KeyH": case "F1": return () => { $("help").hidden = !$("help").hidden; };
    case "F3": return () => { $("figures").hidden = !$("figures").hidden; };
    default: return null;
  }
}

function pause() {
  hidPaused = false;
  say({ type: "pause", paused: !status.paused });
}

addEventListener("keydown", (event) => {
  const command = commandOf(event);
  const key = KEYS[event.code];
  if (!command && !key) return;
  event.preventDefault();
  if (event.repeat) return;
  if (command) command();
  else sayTouch({ type: "key", key, down: true }, event);
});

addEventListener("keyup", (event) => {
  const key = KEYS[event.code];
  if (key) sayTouch({ type: "key", key, down: false }, event);
});

function release() {
  stickTouch = lookTouch = null;
  $("stick").hidden = true;
  stick = [0, 0];
  say({ type: "release" });
  padBefore = "";
}

addEventListener("blur", release);
addEventListener("pagehide", release);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    release();
    if (status.steering && !status.paused) {
      hidPaused = true;
      say({ type: "pause", paused: true });
    }
  } else if (hidPaused) {
    hidPaused = false;
    say({ type: "pause", paused: false });
  }
});

// The mouse, once it is taken.

const taken = () => document.pointerLockElement === canvas;

canvas.addEventListener("mousedown", (event) => {
  canvas.focus();
  if (taken()) sayTouch({ type: "key", key: MOUSE[event.button] ?? "mouse_middle", down: true }, event);
  else if (!touched) Promise.resolve(canvas.requestPointerLock()).catch(() => {});
});
addEventListener("mouseup", (event) => {
  if (taken()) sayTouch({ type: "key", key: MOUSE[event.button] ?? "mouse_middle", down: false }, event);
});
addEventListener("mousemove", (event) => {
  if (taken() && (event.movementX || event.movementY)) {
    sayTouch({ type: "look", right: event.movementX, down: event.movementY }, event);
  }
});
canvas.addEventListener("contextmenu", (event) => event.preventDefault());

// Fingers: the left half is a stick, the right half turns.

let touched = false;
let stickTouch = null; // { id, x, y } of the finger that walks, where it came down
let lookTouch = null; // { id, x, y } of the finger that turns, where it was last
let stick = [0, 0];

canvas.addEventListener("pointerdown", (event) => {
  if (event.pointerType !== "touch") return;
  touched = true;
  $("pause").hidden = false;
  canvas.setPointerCapture(event.pointerId);
  const touch = { id: event.pointerId, x: event.clientX, y: event.clientY };
  if (event.clientX < innerWidth / 2 && !stickTouch) {
    stickTouch = touch;
    $("stick").hidden = false;
    $("stick").style.left = `${touch.x}px`;
    $("stick").style.top = `${touch.y}px`;
    moveStick(0, 0);
  } else if (!lookTouch) {
    lookTouch = touch;
  }
});
canvas.addEventListener("pointermove", (event) => {
  if (stickTouch?.id === event.pointerId) {
    moveStick(event.clientX - stickTouch.x, event.clientY - stickTouch.y);
  } else if (lookTouch?.id === event.pointerId) {
    const [right, down] = [event.clientX - lookTouch.x, event.clientY - lookTouch.y];
    lookTouch = { id: event.pointerId, x: event.clientX, y: event.clientY };
    sayTouch({ type: "look", right: TOUCH_LOOK * right, down: TOUCH_LOOK * down }, event);
  }
});
for (const kind of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(kind, (event) => {
    if (stickTouch?.id === event.pointerId) {
      stickTouch = null;
      $("stick").hidden = true;
      moveStick(0, 0);
    } else if (lookTouch?.id === event.pointerId) {
      lookTouch = null;
    }
  });
}
$("pause").addEventListener("click", pause);

function moveStick(x, y) {
  const shorten = Math.min(1, STICK_PIXELS / Math.max(1, Math.hypot(x, y)));
  [x, y] = [x * shorten, y * shorten];
  $("knob").style.transform = `translate(${x}px, ${y}px)`;
  stick = [x / STICK_PIXELS, -y / STICK_PIXELS];
  sayPad();
}

// Gamepads: said whenever one is held in another way. Up is positive for the program, down for browsers.

let padBefore = "";

function sayPad() {
  const pad = [...navigator.getGamepads()].find((pad) => pad && pad.connected && pad.mapping === "standard");
  const round = (value) => Math.round(100 * (value || 0)) / 100;
  const axis = (at) => round(pad?.axes[at]);
  const held = (at) => Number(pad?.buttons[at]?.pressed ?? false);
  let buttons = 0;
  for (let bit = 0; bit < 8; bit++) buttons |= held(bit) << bit;
  const [x, y] = stickTouch ? stick.map(round) : [axis(0), -axis(1)];
  const state = JSON.stringify({
    type: "pad",
    left: [x, y],
    right: [axis(2), -axis(3)],
    directions: [held(15) - held(14), held(12) - held(13)],
    buttons,
  });
  const atRest = '{"type":"pad","left":[0,0],"right":[0,0],"directions":[0,0],"buttons":0}';
  const now = state.replaceAll("-0,", "0,").replaceAll("-0]", "0]");
  if (now === (padBefore || atRest)) return;
  padBefore = now;
  say(JSON.parse(now));
}

function watchPads() {
  sayPad();
  requestAnimationFrame(watchPads);
}
addEventListener("gamepadconnected", watchPads, { once: true });

// Figures.

function ping() {
  say({ type: "ping", at: performance.now() });
}

setInterval(() => {
  ping();
  const now = performance.now();
  shown = shown.filter((at) => at > now - 2000);
  const rate = shown.length > 1 ? (1000 * (shown.length - 1)) / (shown.at(-1) - shown[0]) : 0;
  const latency = roundTrip === null ? "?" : Math.round(roundTrip + age);
  $("figures").textContent =
    `${rate.toFixed(1)} frames/s\n${latency} ms from key to picture, ` +
    `${Math.round(roundTrip ?? 0)} of them the line\n${missed} frames missed, pages open: ${status.pages}`;
}, 1000);

connect();
