// The connection as the user sees it: the banner while the service is unreachable, the sign-in
// form, and the sentence that says which machines get the photos.

import { element } from "../page/elements.js";
import { announce } from "../page/messages.js";
import { text } from "../page/texts.js";
import { connection, launchLink } from "./api.js";

/** @param onBack called when the service answers again */
export function startStatus({ onBack }) {
  connection.addEventListener("lost", () => (element("offline").hidden = false));
  connection.addEventListener("back", () => {
    element("offline").hidden = true;
    announce(text("told.back"));
    onBack();
  });
  connection.addEventListener("signed-out", () => showSignIn(true));
  connection.addEventListener("signed-in", () => showSignIn(false));
  linkWasSpent = location.pathname === "/launch"; // else the service would have sent the browser to the page
  element("token-form").onsubmit = signIn;
}

let linkWasSpent = false;

function showSignIn(shown) {
  element("sign-in").hidden = !shown;
  element("link-spent").hidden = !linkWasSpent;
  document.body.classList.toggle("signed-out", shown);
}

async function signIn(event) {
  event.preventDefault(); // the browser would remember a form that was sent, token included
  let link = null;
  try {
    link = await launchLink(element("token").value.trim());
  } catch {
    // characters that no header can hold, or no answer
  }
  if (link) location.replace(link);
  else element("token-refused").textContent = text("sign_in.refused");
}

/** Say where photos go: to the machine in the address, and to its cluster if it has one. */
export function showWhereabouts(cluster) {
  const host = location.hostname;
  const local = host === "localhost" || host === "[::1]" || /^127\.[\d.]+$/.test(host);
  const key = local ? (cluster ? "where.cluster" : "where.here") : cluster ? "where.far_cluster" : "where.far";
  element("whereabouts").textContent = text(key, { host });
}
