// The page. This file connects the modules and holds their shared state: the open photo, and the
// mode of the page, "empty", "edit" (a photo is painted on) or "job" (a job is shown).
//
//   job/       options: quality, texture, network, time, seed    list: the jobs
//              submit, estimate: a restoration begins      view: a job on the stage
//              preview, download, curve                    panel: progress, result, details
//              words: a job in words
//   photo/     photo: file, picture and masks              open-photo: reads a file
//              marked: the marks, in words                 autosave: the photo over a reload
//   painting/  toolbox: tools and their buttons            input: mouse, pen, fingers, keys
//              brush (and eraser), rectangle, lasso        find, find-brush, find-worker: find damage
//              mask, mask-tile, tiles, packing, mask-tasks, mask-worker, morphology, components, png  undo
//   view/      stage: draws the photo and the mask         viewport: zoom and position
//              compare: before and after                   picture, picture-worker: tiles of a photo
//              overlay-colour: colours of the masks
//   service/   api: requests      events: of a job         status: connection, sign-in
//   page/      texts: the languages; elements, messages, shortcuts, theme, units, worker-client
//   texts/     the catalogues: one for each language
//   styles/    page: layout, colours                       controls: buttons, lists, dialogs
//
// A module imports from its own folder and from folders further down.

import { describeEstimate, learnFrom } from "./job/estimate.js";
import { JobList, showRetention } from "./job/list.js";
import { includeRims, keepOptions, offerPresets, readOptions, setTexture, startOptions } from "./job/options.js";
import { submit } from "./job/submit.js";
import { JobView } from "./job/view.js";
import { photoName } from "./job/words.js";
import { chosen, element } from "./page/elements.js";
import { announce, busy, showError } from "./page/messages.js";
import { startShortcuts } from "./page/shortcuts.js";
import { loadTexts, percent, text } from "./page/texts.js";
import { startTheme } from "./page/theme.js";
import { Find } from "./painting/find.js";
import { TOOL_NAMES, Toolbox } from "./painting/toolbox.js";
import { Autosave, removeOld, takeKept } from "./photo/autosave.js";
import { describeMarked } from "./photo/marked.js";
import { openPhoto } from "./photo/open-photo.js";
import * as api from "./service/api.js";
import { showWhereabouts, startStatus } from "./service/status.js";
import { Compare } from "./view/compare.js";
import { chooseNextColour, colourChoice, overlayColours } from "./view/overlay-colour.js";
import { Stage } from "./view/stage.js";

const TITLE = document.title;
const askedHash = location.hash; // the job that the address names
await loadTexts();

let photo = null;
let autosave = null;
let mostMarked = 1; // the share above which a mask is questioned, from the service
let openCount = 0; // the latest request to open a photo or a job wins

const stage = new Stage(element("stage"));
const compare = new Compare(stage);
const find = new Find({ photo: () => photo });
const mode = () => document.body.dataset.mode;
const canPaint = () => mode() === "edit" && photo && !photo.usesTransparency;
const toolbox = new Toolbox(stage, { canPaint, find });
const list = new JobList({ open: (id) => showJob(id), deleted: (id) => view.job?.id === id && showPhoto() });
const view = new JobView(stage, {
  onProgress: (progress) => (document.title = `${progress} · ${photoName(view.job.id)}`),
  onEnd: (job) => {
    list.wake();
    document.title = TITLE;
    if (job.state === "cancelled") showPhoto();
    const begun = submitted.get(job.id);
    if (begun) learnFrom(job, begun.measures, begun.options);
  },
});
stage.onMasksShown = () => find.noteShown();
const submitted = new Map(); // jobs of this page: { measures, options }, by id

stage.onView = () => {
  element("zoom-shown").textContent = percent(stage.viewport.scale);
  compare.update();
};

// --- Modes --------------------------------------------------------------------------------------

function setMode(name) {
  document.body.dataset.mode = name;
  element("options-panel").hidden = name === "job";
  element("job").hidden = name !== "job";
  showMask(name !== "job");
  for (const button of document.querySelectorAll("[data-tool]")) button.disabled = name !== "edit";
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
  showMarked();
  find.updateButtons();
}

/** Describe the marks, and the time that their restoration takes. */
function showMarked() {
  const estimate = photo?.measures && photo.hasDamage && !photo.usesTransparency && chosen("preset") ? describeEstimate(photo.measures, readOptions()) : "";
  element("marked").textContent = [describeMarked(photo), estimate].filter(Boolean).join(" ");
}

async function open(file, name = file.name || text("photo"), marks = null) {
  const turn = ++openCount;
  try {
    const opened = await busy(text("busy.opening"), openPhoto(file, name, () => stage.drawPhoto()));
    if (turn !== openCount) return opened.close();
    view.close();
    take(opened, marks);
    showPhoto({ keepView: false });
    stage.element.focus({ preventScroll: true });
    announce(text("told.open", { photo: photo.description }));
  } catch (error) {
    showError(error);
  }
}

/** Make an opened photo the photo of the page; `marks` are the tiles of its masks. */
function take(opened, marks) {
  photo?.close();
  autosave?.close();
  photo = opened;
  autosave = new Autosave(photo);
  photo.onMeasured = showMarked;
  photo.history.onChange = () => {
    photo.measure();
    autosave.touch();
    updateButtons();
  };
  if (marks) for (const [layer, tiles] of Object.entries(marks)) photo[layer].replace(tiles);
  photo.history.touch();
  toolbox.adaptTo(photo);
  find.forget();
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
  const from = photo;
  try {
    const job = await submit(from, options, mostMarked);
    if (!job) return;
    find.stop();
    if (from.measures) submitted.set(job.id, { measures: from.measures, options });
    list.wake();
    await showJob(job.id);
  } catch (error) {
    showError(error);
  } finally {
    updateButtons();
  }
}

/** Open the result of the shown job as a photo, with the marks that the job did not get. */
async function continueFromResult() {
  const { id } = view.job;
  const { blob, name } = await busy(text("busy.opening"), view.resultFile());
  const marks = photo?.jobs.has(id) ? await photo.marksBeside(id) : null;
  await open(blob, name, marks);
}

/** Go back to the mask of the shown job: painted in this tab, or kept by the service. */
async function editMask() {
  const { id } = view.job;
  if (photo?.jobs.has(id)) return showPhoto();
  const image = await busy(text("busy.opening"), api.request(`/v1/jobs/${id}/input?of=image`).then((answer) => answer.blob()));
  const mask = await api.getDisplay(id, { of: "mask" }).catch((error) => {
    if (error.code !== "no_result") throw error; // else the job has no mask: it used transparency
  });
  await open(image, photoName(id));
  if (mask) await photo.takeMask(mask);
  else await useTransparency(true);
  photo.history.touch();
}

/** Restore the photo of the shown job again, with the damage that its mask has left. */
async function restoreRim() {
  await editMask();
  includeRims();
  await restore();
}

async function useTransparency(uses = !photo.usesTransparency) {
  await photo.useTransparency(uses);
  showPhoto();
}

function showMask(shown) {
  element("mask-layer").classList.toggle("unshown", !shown);
  element("show-mask").setAttribute("aria-pressed", String(shown));
}

async function toggleMask() {
  const shown = element("show-mask").getAttribute("aria-pressed") === "true";
  if (mode() === "job" && !shown) await view.loadMask();
  showMask(!shown);
}

function nextMaskColour() {
  chooseNextColour();
  showMaskColour();
  if (photo) photo.recolour(overlayColours(photo.picture));
  view.recolour();
}

function showMaskColour() {
  element("mask-colour").dataset.colour = colourChoice();
  element("mask-colour").title = text("mask_colour.title", { colour: text(`mask_colour.${colourChoice()}`) });
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
  undo: whilePainting(() => photo.history.undo() && announce(text("told.undone"))),
  redo: whilePainting(() => photo.history.redo() && announce(text("told.redone"))),
  showMask: () => toggleMask().catch(showError),
  peek: () => stage.setPeek(true),
  unpeek: () => stage.setPeek(false),
  accept: () => find.accept().catch(showError),
  escape: () => (mode() === "job" ? showPhoto() : find.discard()),
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
element("mask-colour").onclick = nextMaskColour;
element("load-mask").onclick = () => element("mask-file").click();
element("use-transparency").onclick = () => useTransparency().catch(showError);
element("continue").onclick = () => continueFromResult().catch(showError);
element("edit-mask").onclick = () => editMask().catch(showError);
element("restore-rim").onclick = () => restoreRim().catch(showError);
element("example").onclick = () =>
  busy(text("busy.example"), api.getExample())
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
  if (autosave && !autosave.safe) event.preventDefault(); // the mask would be lost
});
addEventListener("blur", actions.unpeek);

// --- Start --------------------------------------------------------------------------------------

startTheme();
startOptions(showMarked);
startShortcuts(actions);
startStatus({ onBack: () => list.wake() });
showMaskColour();
setMode("empty");
if (location.pathname === "/launch") history.replaceState(null, "", "/"); // its code works only once
const { presets, texture, sensitivity, limits, cluster } = await api.getCapabilities();
setTexture(texture);
find.sensitivity = sensitivity;
offerPresets(Object.keys(presets));
keepOptions();
showRetention(limits.keep_days);
mostMarked = limits.mask_share;
showWhereabouts(cluster);
await list.refresh();
list.poll();
const kept = await takeKept().catch((error) => console.info("nothing is kept over a reload:", error));
if (kept && !photo) await open(kept.file, kept.name, kept.masks);
removeOld().catch((error) => console.info(error));
const asked = /^#job=([0-9a-f]{32})$/.exec(askedHash)?.[1] ?? list.active?.id;
if (asked && mode() !== "job" && (!photo || kept)) showJob(asked);
