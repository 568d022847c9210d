// Figures of a result: Bokeh is loaded when the first comes near the screen, and each is drawn in the reader's theme.
// Where Bokeh cannot be had, or takes long, the figure's PNG stands in.

const BOKEH = document.querySelector('meta[name="bokeh"]')?.content ?? "/static/bokeh/bokeh.min.js";
const STYLE_NONCE = document.querySelector('meta[name="style-nonce"]')?.content ?? "";
const PATIENCE_MS = 4000;
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();
let bokeh;

// Bokeh puts style elements into its shadow roots; the page's content policy lets in those that carry its nonce.
function admitStyles() {
  const create = document.createElement.bind(document);
  document.createElement = (name, options) => {
    const element = create(name, options);
    if (String(name).toLowerCase() === "style") element.nonce = STYLE_NONCE;
    return element;
  };
}

function loadBokeh() {
  bokeh ??= new Promise((resolve, reject) => {
    if (STYLE_NONCE) admitStyles();
    const script = document.createElement("script");
    script.src = BOKEH;
    script.onload = () => resolve(window.Bokeh);
    script.onerror = () => reject(new Error("Bokeh could not be loaded"));
    document.head.append(script);
  });
  return bokeh;
}

function showPicture(figure) {
  const drawing = figure.querySelector(".figure-drawing");
  if (drawing.querySelector("img")) return;
  const picture = new Image();
  picture.alt = "";
  picture.src = figure.dataset.png;
  drawing.append(picture);
  drawing.dataset.state = "picture";
}

async function draw(figure) {
  const theme = dark.matches ? "dark" : "light";
  const drawing = figure.querySelector(".figure-drawing");
  drawing.dataset.state = "loading";
  const late = setTimeout(() => showPicture(figure), PATIENCE_MS);
  try {
    const [Bokeh, item] = await Promise.all([
      loadBokeh(),
      fetch(figure.dataset.item.replace("THEME", theme)).then((reply) => {
        if (!reply.ok) throw new Error(`the figure answers ${reply.status}`);
        return reply.json();
      }),
    ]);
    for (const view of drawn.get(figure) ?? []) view.model.document?.clear();
    drawing.replaceChildren();
    const views = await Bokeh.embed.embed_item(item, drawing);
    drawn.set(figure, Array.isArray(views) ? views : [...(views.roots ?? [])]);
    drawing.dataset.state = "drawn";
  } catch (error) {
    console.warn(`${figure.dataset.item}: ${error.message}`);
    showPicture(figure);
  } finally {
    clearTimeout(late);
  }
}

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    draw(entry.target);
  }
}, { rootMargin: "400px" });

const figures = document.querySelectorAll(".figure[data-item]");
for (const figure of figures) near.observe(figure);
dark.addEventListener("change", () => {
  for (const figure of figures) if (figure.querySelector(".figure-drawing").dataset.state) draw(figure);
});
