// The frame around the screens: who one is, which product, where one is, how live it is.
import { render } from "./vendor/htm-preact.js";
import { html, useEffect, useRef, useState, Fail, Loading, Sayer, Empty, Field, plain, Act } from "./ui.js";
import { t, language, setLanguage } from "./text.js";
import { get, post, remove, hasToken, tokenId, setToken, whenLoggedOut, follow, liveState, onLiveState } from "./api.js";
import { Fleet } from "./fleet.js";
import { Devices } from "./devices.js";
import { Device } from "./device.js";
import { Firmware } from "./firmware.js";
import { NewRelease } from "./newrelease.js";
import { Releases, Release } from "./release.js";
import { Settings } from "./settings.js";

const SCREENS = [
	["fleet", "Fleet", Fleet], ["devices", "Devices", Devices], ["firmware", "Firmware", Firmware],
	["releases", "Releases", Releases], ["settings", "Settings", Settings],
];

const placeOf = () => {
	const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
	const [product = "", screen = "", ...rest] = path.split("/").map(decodeURIComponent);
	return { product, screen, rest, search: new URLSearchParams(search) };
};

// A link that works once: an administrator's token is changed for another, and then revoked.
let once = false;
const changeToken = async (me) => {
	const link = tokenId();
	once = false;
	const made = await post("/v1/tokens", { name: me.name, product: "*", role: "admin", days: 1 });
	setToken(made.secret);
	await remove(`/v1/tokens/${link}`);
};

const takeLogin = () => {
	const match = /^#login=([0-9a-f]{16}\.[0-9a-f]{64})(?:&product=([a-z0-9_-]{1,64}))?(&once)?$/.exec(location.hash);
	if (!match) return;
	setToken(match[1]);
	once = match[3] !== undefined;
	history.replaceState(null, "", match[2] ? `#/${match[2]}/fleet` : location.pathname);
};

const Login = ({ onDone }) => {
	const [token, type] = useState(""), [error, setError] = useState(null), [busy, setBusy] = useState(false);
	const submit = async (event) => {
		event.preventDefault();
		setBusy(true);
		setToken(token.trim());
		try {
			await get("/v1/whoami");
			onDone();
		} catch (e) {
			setToken("");
			setError(e);
			setBusy(false);
		}
	};
	return html`<main class="login" id="main"><form class="card" onSubmit=${submit}>
		<img src="/icon.svg" alt="" width="48" height="48" /><h1>mosquitto-ota</h1>
		<p>${t("Firmware updates for your fleet. Sign in with an API token.")}</p>
		<${Field} label=${t("Token")} type="password" value=${token} onValue=${type} autocomplete="current-password" required hint=${t("An administrator makes one with: otactl token create")} />
		<${Fail} error=${error} />
		<button class="primary" disabled=${busy || !token}>${t("Sign in")}</button></form></main>`;
};

const Languages = () => html`<span class="row tight" role="group" aria-label=${t("Language")}>${[["en", "English"], ["it", "Italiano"]].map(([code, name]) =>
	html`<button class="link" lang=${code} aria-pressed=${language === code} onClick=${() => setLanguage(code)}>${name}</button>`)}</span>`;

const Theme = () => {
	const root = document.documentElement;
	const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
	const [on, set] = useState(dark());
	const turn = () => {
		root.dataset.theme = on ? "light" : "dark";
		localStorage.setItem("theme", root.dataset.theme);
		set(!on);
		dispatchEvent(new Event("theme"));
	};
	return html`<button class="link" onClick=${turn}>${on ? t("Light theme") : t("Dark theme")}</button>`;
};

const LIVE = { on: ["good", "Live"], off: ["idle", "Not live"], away: ["bad", "Broker out of reach"], lost: ["bad", "Console out of reach"] };
const LiveSign = () => {
	const [state, set] = useState(liveState);
	useEffect(() => onLiveState(set), []);
	return html`<span class=${"live " + LIVE[state][0]} role="status"><span aria-hidden="true">${state === "on" ? "\u25cf" : "\u25cb"}</span> ${t(LIVE[state][1])}</span>`;
};
const LiveBanner = () => {
	const [state, set] = useState(liveState);
	useEffect(() => onLiveState(set), []);
	if (state === "away") return html`<div class="note bad banner" role="alert">${t("The broker or its plugin does not answer. What you see may be old; it goes on by itself when they are back.")}</div>`;
	if (state === "lost") return html`<div class="note bad banner" role="alert">${t("The console cannot be reached. What you see may be old; it goes on by itself when it is back.")}</div>`;
	return null;
};

const FirstProduct = ({ me, onDone }) => {
	const [name, type] = useState("");
	const admin = me.roles.some((r) => r.product === "*" && r.role === "admin");
	return html`<${Empty} title=${t("There is no product yet.")}><p>${t("A product is a kind of device that runs one line of firmware; all its devices are a fleet.")}</p>
		${admin ? html`<div class="row"><${Field} label=${t("Name of the product")} value=${name} onValue=${type} hint="a-z 0-9 _ -" />
		<${Act} primary label=${t("Create product")} disabled=${!/^[a-z0-9_-]{1,64}$/.test(name)} act=${() => post("/v1/products", { name })} done=${onDone} /></div>` : html`<p>${t("Ask an administrator to create one, or to give you a role in one.")}</p>`}<//>`;
};

const App = () => {
	const [inside, setInside] = useState(hasToken()), [me, setMe] = useState(null), [products, setProducts] = useState(null);
	const [place, setPlace] = useState(placeOf()), [error, setError] = useState(null), [open, setOpen] = useState(false);
	const title = useRef();
	const load = async () => {
		try {
			const [who, list] = await Promise.all([get("/v1/whoami"), get("/v1/products", { limit: 500 })]);
			if (once) await changeToken(who);
			setMe(who);
			setProducts(list.items);
			setError(null);
		} catch (e) {
			if (e.status !== 401) setError(e);
		}
	};
	useEffect(() => {
		whenLoggedOut(() => (setInside(false), setMe(null), setProducts(null), follow("")));
		const moved = () => (takeLogin(), setPlace(placeOf()), setOpen(false), title.current && title.current.focus());
		addEventListener("hashchange", moved);
		return () => removeEventListener("hashchange", moved);
	}, []);
	useEffect(() => {
		if (inside) load();
	}, [inside]);
	useEffect(() => {
		if (!error || !inside) return undefined;
		const timer = setTimeout(load, 3000);
		return () => clearTimeout(timer);
	}, [error]);
	const product = products && (products.find((p) => p.name === place.product) || products[0]);
	useEffect(() => {
		if (product && !place.product) location.replace(`#/${product.name}/fleet`);
		follow(product ? product.name : "");
	}, [product && product.name, place.product]);
	if (!inside) return html`<${Login} onDone=${() => setInside(true)} />`;
	if (!me || !products) return html`<main class="login" id="main">${error ? html`<${Fail} error=${error} retry=${load} />` : html`<${Loading} />`}</main>`;
	const role = product ? (me.roles.find((r) => r.product === product.name) || me.roles.find((r) => r.product === "*") || {}).role : undefined;
	const can = (need) => ["viewer", "maintainer", "developer", "admin"].indexOf(role) >= ["viewer", "maintainer", "developer", "admin"].indexOf(need);
	const base = product ? `#/${product.name}` : "#";
	const props = product && { key: `${product.name}/${place.screen}/${place.rest.join("/")}`, product: product.name, base, me, can, role, search: place.search, id: place.rest[0], reloadProducts: load };
	const known = SCREENS.find(([id]) => id === place.screen);
	let screen = null, name = known ? known[1] : "Fleet";
	if (!product) screen = html`<${FirstProduct} me=${me} onDone=${load} />`;
	else if (place.screen === "device") (screen = html`<${Device} ...${props} />`), (name = "Device");
	else if (place.screen === "release" && place.rest[0] === "new") (screen = html`<${NewRelease} ...${props} />`), (name = "New release");
	else if (place.screen === "release") (screen = html`<${Release} ...${props} />`), (name = t("Release {0}", place.rest[0]));
	else screen = html`<${known ? known[2] : Fleet} ...${props} />`;
	document.title = `${t(name)} \u2013 ${product ? product.name : ""} \u2013 mosquitto-ota`;
	const at = { device: "devices", release: "releases" }[place.screen] || place.screen || "fleet";
	return html`<a class="skip" href="#main" onClick=${(e) => (e.preventDefault(), title.current.focus())}>${t("Skip to content")}</a>
		<header class="top"><a class="brand" href=${base + "/fleet"}><img src="/icon.svg" alt="" width="28" height="28" /> mosquitto-ota</a>
			<button class="menu" aria-expanded=${open} aria-controls="nav" onClick=${() => setOpen(!open)}>${t("Menu")}</button><${LiveSign} /></header>
		<nav id="nav" class=${open ? "open" : ""} aria-label=${t("Main")}>
			${products.length > 0 && html`<div class="field"><label for="product">${t("Product")}</label><select id="product" value=${product.name} onChange=${(e) => (location.hash = `#/${e.target.value}/fleet`)}>
				${products.map((p) => html`<option value=${p.name} selected=${p.name === product.name}>${p.title || p.name}</option>`)}</select></div>`}
			${product && html`<ul>${SCREENS.map(([id, label]) => html`<li><a href=${`${base}/${id}`} aria-current=${at === id ? "page" : undefined}>${t(label)}</a></li>`)}</ul>
			${can("developer") && html`<a class="button primary" href=${base + "/release/new"}>${t("New release")}</a>`}`}
			<div class="foot"><p class="dim">${plain(me.name)}${role ? ` \u00b7 ${t(role)}` : ""}</p><${Languages} /><${Theme} />
			<button class="link" onClick=${() => (setToken(""), setInside(false), follow(""))}>${t("Sign out")}</button></div></nav>
		<main id="main"><h1 tabindex="-1" ref=${title}>${t(name)}</h1><${LiveBanner} />${error && html`<${Fail} error=${error} />`}${screen}</main><${Sayer} />`;
};

takeLogin();
render(html`<${App} />`, document.getElementById("app"));
