// Copies a new key with one press, where the browser lets a page do that.

const button = document.getElementById("copy");
if (navigator.clipboard && button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("key").textContent);
    button.textContent = "✓ Copied";
  });
}
