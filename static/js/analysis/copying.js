// Copies the paragraph on methods with one press, where the browser lets a page do that.

const button = document.getElementById("copy-methods");
if (navigator.clipboard && button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(document.getElementById("methods-text").textContent.trim());
      button.textContent = "✓ Copied";
    } catch {
      button.textContent = "Not allowed: select the text";
    }
  });
}
