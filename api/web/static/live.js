// Follows what runs: by events where there are some, by asking again otherwise.
import { announce } from "./announce.js";

const PAUSE_MS = 2000;
const TOLD = 4; // so many times in a run

export function follow(begin) {
  const live = document.querySelector("[data-live]");
  if (!live) return;
  if (!live.dataset.events) {
    poll(begin);
    return;
  }
  const events = new EventSource(live.dataset.events);
  let runs;
  events.addEventListener("verification", async ({ data }) => {
    const { verification } = JSON.parse(data);
    const before = runs;
    runs = verification.runs.length;
    if (verification.finished_at) {
      events.close();
      await refresh(begin);
      announce(`${said("verification")}. ${said("outcome")}`);
    } else if (before !== undefined && before !== runs) {
      await refresh(begin);
      announce(`A run is over; the next is ${said("configuration")}`);
    } else {
      show(verification);
    }
  });
  events.addEventListener("sweep", async ({ data }) => {
    if (JSON.parse(data).status !== "running") events.close();
    await refresh(begin);
    announce(said("said"));
  });
  events.onerror = () => {
    // A stream that broke is taken up again by the browser; one that was refused is not.
    if (events.readyState === EventSource.CLOSED) poll(begin);
  };
}

function show(verification) {
  const { done, total, wer_so_far: soFar, status } = verification;
  const bar = document.getElementById("done");
  if (!bar) return;
  const before = Math.floor((TOLD * bar.value) / (bar.max || 1));
  bar.max = total;
  bar.value = done;
  const metric = verification.question.task === "ser" ? "UA" : "WER";
  const quality = soFar == null ? "" : `, ${metric} so far ${(100 * soFar).toFixed(1)}\u202f%`;
  const timing = status === "running" && done === total ? "; timing it" : "";
  const text = `${done} of ${total} utterances${quality}${timing}`;
  document.getElementById("said").textContent = text;
  document.getElementById("doing").textContent =
    status === "queued" ? "Waiting for a worker to run" : "Running";
  if (Math.floor((TOLD * done) / total) !== before) announce(text);
}

function poll(begin) {
  setTimeout(async () => {
    const before = said("said");
    await refresh(begin);
    const now = said("said");
    if (now !== before) announce(now);
    if (document.querySelector("[data-live]")) poll(begin);
  }, PAUSE_MS);
}

async function refresh(begin) {
  let answer;
  try {
    answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  } catch {
    return; // the service is away; it is asked again
  }
  if (answer.status >= 500 || answer.status === 429) return;
  if (!answer.ok) {
    location.reload();
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.title = page.title;
  const main = document.getElementById("main");
  main.replaceChildren(...page.getElementById("main").childNodes);
  begin(main);
}

function said(id) {
  return document.getElementById(id)?.textContent.replace(/\s+/g, " ").trim() ?? "";
}
