// The notes of the engine, as sentences in the language of the page.

import { hasText, text } from "./texts.js";

// Notes that belong to the details; of the runs, only the latest tells something.
const TECHNICAL = new Set(["spots_fitted", "run", "stopped_early", "diverged", "steps_unrecorded", "device_full", "smaller_groups", "tiled"]);

/** Notes of the engine as sentences, one each, for the user and for the details. */
export function sortNotes(notes) {
  const single = notes.flatMap((note) => (note.code === "several" ? note.values.notes : note));
  const latestRun = single.findLast(({ code }) => code === "run");
  const shown = single.filter((note) => note.code !== "run" || note === latestRun);
  const isTechnical = ({ code }) => TECHNICAL.has(code);
  const sentences = (chosen) => [...new Set(chosen.map(noteText).map(sentence))];
  return { plain: sentences(shown.filter((note) => !isTechnical(note))), technical: sentences(shown.filter(isTechnical)) };
}

/** A note in the language of the page; in English where its catalogue does not have it. */
function noteText({ code, values, message }) {
  return hasText(`note.${code}`) ? text(`note.${code}`, mapValues(values, said)) : message;
}

const mapValues = (values, change) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));

/** A value of a note: a text, a number, another note, or a list of them. */
function said(value) {
  if (Array.isArray(value)) return value.map(said).reduce((first, second) => text("list", { first, second }));
  return value.code ? noteText(value) : value;
}

const sentence = (words) => (/[.!?。？]$/.test(words) ? capitalised(words) : text("sentence", { text: capitalised(words) }));

export const capitalised = (words) => words[0].toUpperCase() + words.slice(1);
