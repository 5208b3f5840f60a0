// Short addresses, and copying.
import { announce } from "./announce.js";

export function tidy(form) {
  if (!form) return;
  form.addEventListener("formdata", ({ formData }) => {
    const task = formData.get("task");
    for (const [name, value] of [...formData.entries()]) {
      if (value === "") formData.delete(name);
    }
    // What belongs to the other task is not in sight.
    formData.delete(task === "asr" ? "target_ua" : "target_wer");
    if (task === "asr") formData.delete("task");
  });
  const study = form.elements.namedItem("study");
  const fit = () => {
    const task = form.elements.namedItem("task").value;
    for (const group of study.querySelectorAll("optgroup")) {
      group.disabled = group.dataset.task !== task;
      if (group.disabled && group.contains(study.selectedOptions[0])) study.value = "";
    }
    for (const box of form.querySelectorAll("input[data-task]")) {
      box.disabled = box.dataset.task !== task;
    }
  };
  form.addEventListener("change", ({ target }) => target.name === "task" && fit());
}

export function copying(root) {
  for (const button of root.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
}

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // Without https there is no clipboard; what is selected can be copied by hand.
    getSelection().selectAllChildren(code);
    announce("Selected: copy it with the keyboard");
    return;
  }
  announce("Copied");
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 2000);
}
