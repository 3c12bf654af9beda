// The page. This file connects the modules and holds their shared state: the open photo, and the
// mode of the page, "empty", "edit" (a photo is painted on) or "job" (a job is shown).
//
//   job/       options: quality, texture, network, time, seed    list: the jobs
//              view: a job on the stage                    panel: progress, result, details
//              preview, download, curve                    words: a job in words
//   photo/     photo: file, picture and masks              open-photo: reads a file
//   painting/  toolbox: tools and their buttons            input: mouse, pen, fingers, keys
//              brush (and eraser), rectangle, lasso        wand, wand-worker, detect: find damage
//              mask, mask-worker, morphology, png          undo
//   view/      stage: draws the photo and the mask         viewport: zoom and position
//              compare: before and after                   picture, picture-worker: tiles of a photo
//   service/   api: requests      events: of a job         status: connection, sign-in
//   page/      elements, messages, shortcuts, theme, units, worker-client
//   styles/    page: layout, colours                       controls: buttons, lists, dialogs
//
// A module imports from its own folder and from folders further down.

import { JobList, showRetention } from "./job/list.js";
import { offerPresets, readOptions, setTexture, startOptions } from "./job/options.js";
import { JobView } from "./job/view.js";
import { photoName, rememberName } from "./job/words.js";
import { element } from "./page/elements.js";
import { announce, busy, showError } from "./page/messages.js";
import { startShortcuts } from "./page/shortcuts.js";
import { startTheme } from "./page/theme.js";
import { TOOL_NAMES, Toolbox } from "./painting/toolbox.js";
import { Wand } from "./painting/wand.js";
import { openPhoto } from "./photo/open-photo.js";
import * as api from "./service/api.js";
import { showWhereabouts, startStatus } from "./service/status.js";
import { Compare } from "./view/compare.js";
import { Stage } from "./view/stage.js";

const TITLE = document.title;

let photo = null;
let mostMarked = 1; // the share above which a mask is questioned, from the service
let openCount = 0; // the latest request to open a photo or a job wins

const stage = new Stage(element("stage"));
const compare = new Compare(stage);
const wand = new Wand({ photo: () => photo, onSuggestion: () => updateButtons() });
const mode = () => document.body.dataset.mode;
const canPaint = () => mode() === "edit" && photo && !photo.usesTransparency;
const toolbox = new Toolbox(stage, { canPaint, wand });
const list = new JobList({ open: (id) => showJob(id), deleted: (id) => view.job?.id === id && showPhoto() });
const view = new JobView(stage, {
  onProgress: (progress) => (document.title = `${progress} · ${photoName(view.job.id)}`),
  onEnd: (job) => {
    list.wake();
    document.title = TITLE;
    if (job.state === "cancelled") showPhoto();
  },
});

stage.onView = () => {
  element("zoom-shown").textContent = `${Math.round(100 * stage.viewport.scale)} %`;
  compare.update();
};

// --- Modes --------------------------------------------------------------------------------------

function setMode(name) {
  document.body.dataset.mode = name;
  element("options-panel").hidden = name === "job";
  element("job").hidden = name !== "job";
  updateButtons();
  toolbox.input.updateCursor();
  compare.update();
}

/** Enable the buttons that can be used now, and say how much is marked. */
function updateButtons() {
  const paints = Boolean(canPaint());
  element("undo").disabled = !paints || !photo.history.canUndo;
  element("redo").disabled = !paints || !photo.history.canRedo;
  const empty = !photo || photo.mask.empty || photo.usesTransparency;
  for (const name of ["grow", "shrink", "clear"]) element(name).disabled = empty;
  element("load-mask").disabled = Boolean(photo?.usesTransparency);
  element("restore").disabled = !photo?.hasDamage;
  element("marked").textContent = describeMarked();
  wand.updateButtons();
}

function describeMarked() {
  if (!photo?.hasDamage && wand.pending) return "Accept the wand's suggestion first, or paint over the damage.";
  if (!photo?.hasDamage) return "Mark the damage first: paint over it, or let the wand find it.";
  if (photo.usesTransparency) return "The transparent pixels will be filled.";
  const percent = 100 * photo.mask.share;
  return `${percent < 0.01 ? "Less than 0.01" : percent.toPrecision(2)} % of the photo is marked.`;
}

async function open(file, name = file.name || "photo") {
  const turn = ++openCount;
  try {
    const opened = await busy("Opening…", openPhoto(file, name, () => stage.drawPhoto()));
    if (turn !== openCount) return opened.close();
    view.close();
    photo?.close();
    photo = opened;
    photo.history.onChange = updateButtons;
    toolbox.adaptTo(photo);
    wand.adaptTo(photo);
    showPhoto({ keepView: false });
    stage.element.focus({ preventScroll: true });
    announce(`${photo.description} is open`);
  } catch (error) {
    showError(error);
  }
}

/** Show the open photo for painting, or the empty page. */
function showPhoto({ keepView = true } = {}) {
  view.close();
  list.setCurrent(null);
  history.replaceState(null, "", location.pathname === "/launch" ? "/" : location.pathname);
  document.title = TITLE;
  toolbox.input.forgetPen();
  element("about-photo").textContent = photo?.description ?? "";
  element("use-transparency").hidden = !photo?.picture.transparent;
  element("use-transparency").setAttribute("aria-pressed", String(Boolean(photo?.usesTransparency)));
  stage.show(photo ? [{ before: photo.picture }] : [], { masks: photo?.shownMasks ?? [], keepView });
  setMode(photo ? "edit" : "empty");
}

async function showJob(id) {
  openCount++;
  const own = photo?.jobs.has(id) ? photo : null;
  history.replaceState(null, "", `#job=${id}`);
  list.setCurrent(id);
  toolbox.input.forgetPen();
  element("about-photo").textContent = photoName(id);
  stage.show(own ? [{ before: own.picture }] : [], { keepView: Boolean(own) });
  setMode("job");
  try {
    await view.open(id, own);
  } catch (error) {
    if (error.name === "AbortError") return;
    showError(error);
    if (error.code === "job_unknown") showPhoto();
  }
}

// --- Actions ------------------------------------------------------------------------------------

async function restore() {
  if (!photo?.hasDamage || mode() !== "edit" || element("restore").disabled) return;
  element("restore").disabled = true;
  const options = readOptions(); // before anything waits
  try {
    if (!photo.usesTransparency && photo.mask.share > mostMarked) {
      if (!(await confirmMask())) return;
      options.mask_confirmed = true;
    }
    const mask = await photo.encodeMask();
    const job = await busy("Sending the photo…", api.submitJob({ image: photo.file, name: photo.name, mask, ...options }));
    rememberName(job);
    photo.jobs.add(job.id);
    photo.submittedRevision = photo.history.revision;
    list.wake();
    await showJob(job.id);
  } catch (error) {
    showError(error);
  } finally {
    updateButtons();
  }
}

/** Ask whether a mask that marks most of the photo is meant; invert it where the answer is so. */
async function confirmMask() {
  const dialog = element("inverted");
  const percent = Math.round(100 * photo.mask.share);
  element("inverted-about").textContent = `${percent} % of the photo is marked. What is marked is replaced, the rest stays as it is.`;
  dialog.returnValue = "back";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (dialog.returnValue === "invert") photo.invertMask();
  return dialog.returnValue === "restore";
}

/** Open the result of the shown job as a photo without a mask. */
async function continueFromResult() {
  const { blob, name } = await busy("Opening…", view.resultFile());
  await open(blob, name);
}

/** Go back to the mask of the shown job: painted in this tab, or kept by the service. */
async function editMask() {
  const { id } = view.job;
  if (photo?.jobs.has(id)) return showPhoto();
  const image = await busy("Opening…", api.request(`/v1/jobs/${id}/input?of=image`).then((answer) => answer.blob()));
  const mask = await api.getDisplay(id, { of: "mask" }).catch((error) => {
    if (error.code !== "no_result") throw error; // else the job has no mask: it used transparency
  });
  await open(image, photoName(id));
  if (mask) await photo.takeMask(mask);
  else await useTransparency(true);
  updateButtons();
}

async function useTransparency(uses = !photo.usesTransparency) {
  await photo.useTransparency(uses);
  showPhoto();
}

function toggleMask() {
  const hidden = element("mask-layer").classList.toggle("unshown");
  element("show-mask").setAttribute("aria-pressed", String(!hidden));
}

function zoom(factor) {
  stage.viewport.zoomBy(factor);
  stage.redraw();
  toolbox.input.updateCursor();
}

const whilePainting = (action) => () => canPaint() && action();
const actions = {
  ...Object.fromEntries(TOOL_NAMES.map((name) => [name, () => toolbox.choose(name)])),
  smaller: () => toolbox.resizeBrush(-4),
  larger: () => toolbox.resizeBrush(4),
  grow: whilePainting(() => photo.growMask().catch(showError)),
  shrink: whilePainting(() => photo.growMask({ shrink: true }).catch(showError)),
  clear: whilePainting(() => photo.history.step(() => photo.mask.clear())),
  undo: whilePainting(() => photo.history.undo() && announce("Undone")),
  redo: whilePainting(() => photo.history.redo() && announce("Redone")),
  showMask: toggleMask,
  accept: () => wand.accept(),
  escape: () => (mode() === "job" ? showPhoto() : wand.discard()),
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

// --- Buttons, files, drag and drop --------------------------------------------------------------

const actionOfButton = {
  undo: "undo", redo: "redo", grow: "grow", shrink: "shrink", clear: "clear", "show-mask": "showMask", open: "open", choose: "open",
  restore: "restore", help: "help", "zoom-in": "zoomIn", "zoom-out": "zoomOut", "zoom-fit": "fit", "zoom-full": "full", "job-close": "escape",
};
for (const [id, name] of Object.entries(actionOfButton)) element(id).onclick = () => actions[name]();
element("load-mask").onclick = () => element("mask-file").click();
element("use-transparency").onclick = () => useTransparency().catch(showError);
element("continue").onclick = () => continueFromResult().catch(showError);
element("edit-mask").onclick = () => editMask().catch(showError);
element("example").onclick = () =>
  busy("Making an example…", api.getExample())
    .then((blob) => open(blob, "example.png"))
    .catch(showError);

const onFile = (id, use) => {
  element(id).onchange = ({ target }) => {
    if (target.files.length) use(target.files[0]);
    target.value = ""; // the same file can be chosen again
  };
};
onFile("photo-file", open);
onFile("mask-file", (file) => photo.loadMask(file).catch(showError));

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
  if (photo?.hasUnsubmittedMask) event.preventDefault();
});

// --- Start --------------------------------------------------------------------------------------

startTheme();
startOptions();
startShortcuts(actions);
startStatus({ onBack: () => list.wake() });
updateButtons();
if (location.pathname === "/launch") history.replaceState(null, "", "/"); // its code works only once
const { presets, texture, limits, cluster } = await api.getCapabilities();
offerPresets(Object.keys(presets));
setTexture(texture);
showRetention(limits.keep_days);
mostMarked = limits.mask_share;
showWhereabouts(cluster);
await list.refresh();
list.poll();
const asked = /^#job=([0-9a-f]{32})$/.exec(location.hash)?.[1] ?? list.active?.id;
if (asked && !photo) showJob(asked);
