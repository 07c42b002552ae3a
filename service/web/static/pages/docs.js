// Swagger UI on /openapi.json, without its top bar and without a validator elsewhere.

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

SwaggerUIBundle({
  url: "openapi.json",
  domNode: document.getElementById("interface"),
  layout: "BaseLayout",
  validatorUrl: null,
});
