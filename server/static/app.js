// The page: what is open, and which part of the page does what with it.

import * as api from "./api.js";
import { Compare } from "./compare.js";
import { Input } from "./input.js";
import { JobList, nameOf, remember } from "./joblist.js";
import { JobView } from "./jobview.js";
import { busy, complain, element, make, say, toast } from "./messages.js";
import { openPhoto } from "./photo.js";
import { listen } from "./shortcuts.js";
import { Stage } from "./stage.js";
import { makeTool } from "./tools.js";
import { Wand } from "./wand.js";

const COLOURS = { mask: [255, 64, 58], suggestion: [30, 200, 245] };
const TITLE = document.title;

let photo = null;
let toolName = "brush";
let opening = 0;

const stage = new Stage(element("stage"));
const compare = new Compare(stage);
const wand = new Wand(() => photo);
const list = new JobList({ open: (id) => showJob(id), forgotten: (id) => view.job?.id === id && showPhoto() });
const view = new JobView(stage, {
  changed: (percent) => (document.title = `${percent} · ${nameOf(view.job.id)}`),
  ended: (job) => {
    list.wake();
    document.title = TITLE;
    if (job.state === "cancelled") showPhoto();
  },
});

// --- The tools ----------------------------------------------------------------------------------

/** From a slider that is fine for small brushes, to px of the photo. */
const brushRadius = () => 0.5 * 1.062 ** Number(element("brush-size").value);

/** A brush that suits the photo's size. */
function suitBrush() {
  const size = Math.max(6, photo.picture.width / 60, photo.picture.height / 60);
  element("brush-size").value = String(Math.round(Math.log(size) / Math.log(1.062)));
  resizeBrush();
}

const tools = () =>
  Object.fromEntries(
    ["brush", "eraser", "rectangle", "lasso"].map((name) => [
      name,
      makeTool(name, {
        history: photo.history,
        masks: () => (photo.suggestion.empty ? [photo.mask] : [photo.mask, photo.suggestion]),
        radius: brushRadius,
        outline: (points) => stage.setOutline(points),
      }),
    ]),
  );
let toolbox = {};

const painting = () => document.body.dataset.mode === "edit" && photo && !photo.usesTransparency;
// With the wand in hand, one paints: over what it suggests.
const heldTool = () => (painting() ? (toolbox[toolName === "wand" ? "brush" : toolName] ?? null) : null);
const input = new Input(stage, {
  tool: heldTool,
  radius: () => (heldTool() && ["brush", "eraser", "wand"].includes(toolName) ? brushRadius() : null),
  cursor: element("cursor"),
  accepts: () => toolName === "wand" && wand.pending,
});

function chooseTool(name) {
  if (document.body.dataset.mode !== "edit" && name !== "hand") return;
  input.liftPen();
  toolName = name;
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  element("size-option").hidden = !["brush", "eraser"].includes(name);
  element("wand-options").hidden = name !== "wand";
  element("mask-options").hidden = name === "wand";
  if (name === "wand" && painting() && !wand.pending) wand.suggest();
  input.showCursor();
  say(`${name} in hand`);
}

function resizeBrush(by = 0) {
  const slider = element("brush-size");
  slider.value = String(Number(slider.value) + by);
  const size = `${Math.max(1, Math.round(2 * brushRadius()))} px`;
  element("brush-size-shown").textContent = size;
  slider.setAttribute("aria-valuetext", size);
  input.showCursor();
}

function showTexture() {
  const slider = element("texture");
  const share = `${slider.value} %`;
  element("texture-shown").textContent = share;
  slider.setAttribute("aria-valuetext", share);
}

function updateMask() {
  element("undo").disabled = !painting() || !photo.history.canUndo;
  element("redo").disabled = !painting() || !photo.history.canRedo;
  const empty = !photo || photo.mask.empty;
  for (const name of ["grow", "shrink", "clear"]) element(name).disabled = empty || photo.usesTransparency;
  element("load-mask").disabled = Boolean(photo?.usesTransparency);
  element("restore").disabled = !photo?.ready;
  wand.update();
  const marked = element("marked");
  if (!photo?.ready) marked.textContent = "Paint over the damage first.";
  else if (photo.usesTransparency) marked.textContent = "What is transparent will be filled.";
  else {
    const share = 100 * photo.mask.share;
    marked.textContent = `${share < 0.01 ? "Under 0.01" : share.toPrecision(2)} % of the photo is marked.`;
  }
}

// --- Opening, showing ---------------------------------------------------------------------------

function setMode(mode) {
  document.body.dataset.mode = mode;
  element("ask").hidden = mode === "job";
  element("job").hidden = mode !== "job";
  updateMask();
  input.showCursor();
  compare.update();
}

async function open(file, name = file.name || "photo") {
  const turn = ++opening;
  try {
    const opened = await busy("Opening…", openPhoto(file, name, COLOURS, () => stage.drawPhoto()));
    if (turn !== opening) return opened.close(); // another was chosen meanwhile
    view.close();
    photo?.close();
    photo = opened;
    toolbox = tools();
    photo.history.onChange = updateMask;
    wand.suit(photo);
    suitBrush();
    showPhoto({ anew: true });
    stage.element.focus({ preventScroll: true });
    say(`${photo.about} is open`);
  } catch (error) {
    complain(error);
  }
}

/** Back to the photo that is painted on, or to none. */
function showPhoto({ anew = false } = {}) {
  view.close();
  list.setCurrent(null);
  history.replaceState(null, "", location.pathname === "/launch" ? "/" : location.pathname);
  document.title = TITLE;
  input.forgetPen();
  element("about-photo").textContent = photo?.about ?? "";
  element("use-transparency").hidden = !photo?.picture.transparent;
  element("use-transparency").setAttribute("aria-pressed", String(Boolean(photo?.usesTransparency)));
  stage.show(photo ? [{ before: photo.picture }] : [], { masks: photo?.shown ?? [], keepView: !anew });
  setMode(photo ? "edit" : "empty");
}

/** Look at a job; `own`: it was made of the photo that is open. */
async function showJob(id) {
  opening++;
  const own = photo?.jobs?.has(id) ? photo : null;
  history.replaceState(null, "", `#job=${id}`);
  list.setCurrent(id);
  input.forgetPen();
  element("about-photo").textContent = nameOf(id);
  stage.show(own ? [{ before: own.picture }] : [], { keepView: Boolean(own) });
  setMode("job");
  try {
    await view.open(id, own);
  } catch (error) {
    if (error.name === "AbortError") return;
    complain(error);
    if (error.code === "job_unknown") showPhoto();
  }
}

// --- Restoring ----------------------------------------------------------------------------------

async function restore() {
  if (!photo?.ready || document.body.dataset.mode !== "edit" || element("restore").disabled) return;
  const button = element("restore");
  button.disabled = true;
  try {
    const chosen = new FormData();
    for (const name of ["network", "preset"]) chosen.set(name, [...document.getElementsByName(name)].find((radio) => radio.checked).value);
    const mask = await photo.encodeMask();
    const job = await busy("Handing it in…", api.submit({
      image: photo.file, name: photo.name, mask, ...Object.fromEntries(chosen),
      texture: String(element("texture").value / 100), seed: element("seed").value || "0",
    }));
    remember(job.id, photo.name);
    (photo.jobs ??= new Set()).add(job.id);
    photo.sent = photo.history.revision;
    list.wake();
    await showJob(job.id);
  } catch (error) {
    complain(error);
  } finally {
    updateMask();
  }
}

/** Take a result as the photo, with a mask that is empty. */
async function goOn() {
  try {
    const { blob, name } = await busy("Opening…", view.resultFile());
    await open(blob, name);
  } catch (error) {
    complain(error);
  }
}

/** Back to the mask of a job: painted here, or fetched from the service. */
async function editAgain() {
  const { id } = view.job;
  if (photo?.jobs?.has(id)) return showPhoto();
  try {
    const image = await busy("Opening…", api.ask(`/v1/jobs/${id}/input?of=image`).then((answer) => answer.blob()));
    const mask = await api.displayOf(id, { of: "mask" }).catch((error) => {
      if (error.code !== "no_result") throw error; // else it came without one
    });
    await open(image, nameOf(id));
    if (mask) await photo.takeMask(mask.blob, false);
    else await useTransparency(true);
    updateMask();
  } catch (error) {
    complain(error);
  }
}

async function useTransparency(uses = !photo.usesTransparency) {
  try {
    await photo.useTransparency(uses);
    showPhoto();
  } catch (error) {
    complain(error);
  }
}

// --- What is pressed, dropped, pasted -----------------------------------------------------------

const inEdit = (action) => () => painting() && action();
const actions = {
  ...Object.fromEntries(["brush", "eraser", "rectangle", "lasso", "wand", "hand"].map((name) => [name, () => chooseTool(name)])),
  smaller: () => resizeBrush(-4),
  larger: () => resizeBrush(4),
  grow: inEdit(() => photo.grow(1).catch(complain)),
  shrink: inEdit(() => photo.grow(-1).catch(complain)),
  clear: inEdit(() => photo.history.step(() => photo.mask.clear())),
  undo: inEdit(() => photo.history.undo() && say("Undone")),
  redo: inEdit(() => photo.history.redo() && say("Redone")),
  showMask: () => {
    const hidden = element("mask-layer").classList.toggle("unshown");
    element("show-mask").setAttribute("aria-pressed", String(!hidden));
  },
  accept: () => wand.accept(),
  escape: () => (document.body.dataset.mode === "job" ? showPhoto() : wand.discard()),
  zoomIn: () => zoom(1.25),
  zoomOut: () => zoom(0.8),
  fit: () => {
    stage.viewport.fit();
    stage.redraw();
  },
  full: () => zoom(1 / stage.viewport.scale),
  open: () => element("photo-file").click(),
  restore,
  help: () => element("shortcuts").showModal(),
};

function zoom(factor) {
  stage.viewport.zoomBy(factor);
  stage.redraw();
  input.showCursor();
}

const presses = {
  undo: "undo", redo: "redo", grow: "grow", shrink: "shrink", clear: "clear", "show-mask": "showMask", open: "open", choose: "open",
  restore: "restore", help: "help", "zoom-in": "zoomIn", "zoom-out": "zoomOut", "zoom-fit": "fit", "zoom-full": "full", "job-close": "escape",
};
for (const [id, action] of Object.entries(presses)) element(id).onclick = () => actions[action]();
for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => chooseTool(button.dataset.tool);
element("brush-size").oninput = () => resizeBrush();
element("texture").oninput = showTexture;
element("load-mask").onclick = () => element("mask-file").click();
element("use-transparency").onclick = () => useTransparency();
element("go-on").onclick = goOn;
element("edit-again").onclick = editAgain;
element("new-seed").onclick = () => (element("seed").value = String(crypto.getRandomValues(new Uint32Array(1))[0]));
element("example").onclick = async () => {
  try {
    await open(await busy("Making one…", api.example()), "example.png");
  } catch (error) {
    complain(error);
  }
};

for (const [id, take] of [["photo-file", open], ["mask-file", (file) => photo.loadMask(file).catch(complain)]]) {
  element(id).onchange = ({ target }) => {
    if (target.files.length) take(target.files[0]);
    target.value = "";
  };
}

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => !event.relatedTarget && document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
  if (file) open(file);
});
addEventListener("beforeunload", (event) => {
  if (photo && !photo.mask.empty && photo.sent !== photo.history.revision) event.preventDefault();
});

stage.onView = () => {
  element("zoom-shown").textContent = `${Math.round(100 * stage.viewport.scale)} %`;
  compare.update();
};

// --- Dark and light, the service, the beginning -------------------------------------------------

const THEMES = ["auto", "dark", "light"];
function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("dip-theme", theme);
  element("theme").title = { auto: "As the system is: dark or light", dark: "Dark", light: "Light" }[theme];
}
element("theme").onclick = () => {
  const next = THEMES[(THEMES.indexOf(localStorage.getItem("dip-theme") ?? "auto") + 1) % THEMES.length];
  setTheme(next);
  toast(element("theme").title);
};
setTheme(localStorage.getItem("dip-theme") ?? "auto");

api.connection.addEventListener("gone", () => (element("offline").hidden = false));
api.connection.addEventListener("back", () => {
  element("offline").hidden = true;
  say("The service is back");
  list.wake();
});
api.connection.addEventListener("signed-out", () => (element("sign-in").hidden = false));
api.connection.addEventListener("signed-in", () => (element("sign-in").hidden = true));
element("token-form").onsubmit = async (event) => {
  event.preventDefault(); // a form that was sent would have the token in it for the browser to remember
  let link = null;
  try {
    link = await api.linkFor(element("token").value.trim());
  } catch {
    // not a token at all, or nobody answers
  }
  if (link) location.replace(link);
  else element("token-refused").textContent = "It is not a token of this service.";
};

/** Who gets the photos: the machine that this page comes from, and those that work for it. */
function whereabouts(host, cluster) {
  const here = host === "localhost" || host === "[::1]" || /^127\.[\d.]+$/.test(host);
  if (here) return cluster ? "Your photos go to the machines of a cluster." : "Nothing leaves this machine.";
  return `Your photos go to ${host}${cluster ? ", and to the machines of its cluster" : ", and nowhere else"}.`;
}

const ORDER = ["fast", "balanced", "best", "paper"];

function offerPresets(presets) {
  const about = element("preset-about");
  const choose = (name) => (about.textContent = `${presets[name][0].toUpperCase()}${presets[name].slice(1)}.`);
  element("presets").replaceChildren(
    ...Object.keys(presets).sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b)).map((name) => {
      const radio = make("input", { type: "radio", name: "preset", value: name, checked: name === "balanced" });
      radio.onchange = () => choose(name);
      return make("label", {}, radio, make("span", {}, name[0].toUpperCase() + name.slice(1)));
    }),
  );
  choose("balanced");
}

listen(actions);
resizeBrush();
showTexture();
if (location.pathname === "/launch") history.replaceState(null, "", "/"); // the code in it is spent
const { presets, cluster } = await api.capabilities();
offerPresets(presets);
element("whereabouts").textContent = whereabouts(location.hostname, cluster);
await list.refresh();
list.keepUp();
const asked = /^#job=([0-9a-f]{32})$/.exec(location.hash)?.[1];
const running = list.jobs.findLast((job) => job.state === "running") ?? list.jobs.findLast((job) => job.state === "queued");
if ((asked || running) && !photo) showJob(asked ?? running.id);
