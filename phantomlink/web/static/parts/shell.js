/** What every page has around its screen: navigation, theme, the form for a token. */

import { html, signal } from "../vendor/preact.js";
import { BASE, keepToken, needsToken, token } from "../api.js";
import { changedAddress, readAddress } from "../core/url-state.js";
import { Notices } from "./notices.js";

const KEY = "phantomlink.theme";
const PAGES = [["", "Sessions"], ["timing", "Timing"], ["decoders", "Decoders"], ["datasets", "Datasets"], ["docs", "API"]];
const prefersLight = matchMedia("(prefers-color-scheme: light)");

/** @type {import("../vendor/preact.js").Signal<"dark" | "light">} */
export const theme = signal(firstTheme());
export const reducesMotion = signal(matchMedia("(prefers-reduced-motion: reduce)").matches);

function firstTheme() {
  const asked = readAddress(location.href).theme ?? localStorage.getItem(KEY);
  return asked === "dark" || asked === "light" ? asked : prefersLight.matches ? "light" : "dark";
}

/** Show the theme; the style sheet does the rest. */
export function applyTheme() {
  document.documentElement.dataset.theme = theme.value;
}

function switchTheme() {
  theme.value = theme.value === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, theme.value);
  history.replaceState(null, "", changedAddress(location.href, { theme: null }));
  applyTheme();
}

/** @param {{current: string, children: any, help?: any}} props */
export function Shell({ current, children, help }) {
  return html`
    <a class="skip" href="#main">Skip to content</a>
    <header class="top">
      <a class="brand" href=${BASE}><${Mark} /> PhantomLink</a>
      <nav aria-label="Pages">
        ${PAGES.map(
          ([path, label]) => html`<a href=${new URL(path || "./", BASE).href} aria-current=${path === current ? "page" : null}>${label}</a>`,
        )}
      </nav>
      <div class="tools">
        ${help}
        <button class="plain" onClick=${switchTheme}>${theme.value === "dark" ? "Light" : "Dark"} theme</button>
      </div>
    </header>
    <main id="main" tabindex="-1">${needsToken.value ? html`<${TokenForm} />` : children}</main>
    <${Notices} />
  `;
}

function Mark() {
  return html`<svg viewBox="0 0 16 16" width="20" height="20" aria-hidden="true"><path d="M0 9h4l2-6 3 11 2-5h5" fill="none" stroke="currentColor" stroke-width="2" /></svg>`;
}

function TokenForm() {
  const submit = (/** @type {any} */ event) => {
    event.preventDefault();
    const value = new FormData(event.target).get("token");
    if (value) {
      keepToken(String(value).trim());
      location.reload();
    }
  };
  const isRefused = token.value !== null;
  return html`<section class="card narrow">
    <h1>${isRefused ? "This server has refused the token" : "This server wants a token"}</h1>
    ${isRefused && html`<p role="alert">The token that this tab has sent is not the one of this server. Give the right one:</p>`}
    <p>Whoever runs it knows the token (<code>PHANTOM_API_TOKEN</code>). This tab keeps it until it is closed.</p>
    <form onSubmit=${submit} class="row">
      <label class="grow">Token <input name="token" type="password" autocomplete="off" required /></label>
      <button class="primary">Continue</button>
    </form>
  </section>`;
}
