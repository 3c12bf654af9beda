// The connection as the user sees it: the banner while the service is unreachable, the sign-in
// form, and the sentence that says which machines get the photos.

import { element } from "../page/elements.js";
import { announce } from "../page/messages.js";
import { connection, launchLink } from "./api.js";

/** @param onBack called when the service answers again */
export function startStatus({ onBack }) {
  connection.addEventListener("lost", () => (element("offline").hidden = false));
  connection.addEventListener("back", () => {
    element("offline").hidden = true;
    announce("The service answers again");
    onBack();
  });
  connection.addEventListener("signed-out", () => (element("sign-in").hidden = false));
  connection.addEventListener("signed-in", () => (element("sign-in").hidden = true));
  element("token-form").onsubmit = signIn;
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
  else element("token-refused").textContent = "This service does not know this token. Copy it again.";
}

/** Say where photos go: to the machine in the address, and to its cluster if it has one. */
export function showWhereabouts(cluster) {
  const host = location.hostname;
  const local = host === "localhost" || host === "[::1]" || /^127\.[\d.]+$/.test(host);
  const elsewhere = `Your photos go to ${host}${cluster ? ", and to the machines of its cluster" : ", and nowhere else"}.`;
  const here = cluster ? "Your photos go to the machines of a cluster." : "Nothing leaves this machine.";
  element("whereabouts").textContent = local ? here : elsewhere;
}
