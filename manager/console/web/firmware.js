// Firmware: what there is, where it runs, what it costs to fetch; upload and sign a new one.
import { html, useState, useRef, useLoad, useLive, Card, Fail, Loading, Empty, Table, Chip, Time, Size, Field, Choice, Bar, Act, plain, say } from "./ui.js";
import { t, count } from "./text.js";
import { get, post, put, remove } from "./api.js";
import { hashFile, sign, TYPES } from "./sign.js";
import { KeyChoice } from "./keys.js";

const SEGMENT = 262144, PIECE = 4 << 20;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// What a device that runs `digest` fetches: a pack against it if there is one, else the whole.
export const costOf = (firmware, digest) => {
	const fits = firmware.packs.filter((p) => p.base === digest).concat(firmware.packs.filter((p) => !p.base));
	return fits.length ? Math.min(...fits.map((p) => p.size)) : 0;
};

const upload = async (product, file, sha256, progress) => {
	const path = `/v1/products/${product}/images/${sha256}`;
	let state = await get(path);
	let tries = 0;
	while (state.state === "absent" || state.state === "receiving") {
		const first = state.offset, last = Math.min(first + PIECE, file.size);
		if (first >= file.size) throw new Error(t("The console holds other bytes for this digest."));
		try {
			state = await put(path, file.slice(first, last), { "Content-Range": `bytes ${first}-${last - 1}/${file.size}` });
			tries = 0;
		} catch (e) {
			if (![0, 409, 429, 503].includes(e.status) || ++tries > 20) throw e;
			await pause(Math.min(500 * tries, 5000));
			state = await get(path).catch(() => state);
		}
		progress(state.offset / file.size);
	}
	return path;
};

const Upload = ({ product, hardware, done, cancel }) => {
	const [step, setStep] = useState("file"), [at, setAt] = useState(0), [file, setFile] = useState(null), [hash, setHash] = useState(null), [error, setError] = useState(null);
	const [key, setKey] = useState(null), [v, setV] = useState({ version: "", hardware: hardware || "", security: "0", notes: "", severity: "", component: "image", slot: "image" });
	const set = (name) => (value) => setV({ ...v, [name]: value });
	const path = useRef("");
	const take = async (event) => {
		const chosen = event.target.files[0];
		if (!chosen) return;
		setFile(chosen);
		setError(null);
		try {
			setStep("hash");
			const made = await hashFile(chosen, SEGMENT, setAt);
			setHash(made);
			setStep("send");
			setAt(0);
			path.current = await upload(product, chosen, made.sha256, setAt);
			setStep("pack");
			for (;;) {
				const state = await get(path.current);
				setAt(state.progress / 100);
				if (state.state === "failed") throw new Error(state.error.message);
				if (state.state === "ready") break;
				await pause(700);
			}
			setStep("sign");
			say(t("The image is there. Describe and sign it."));
		} catch (e) {
			setError(e);
			setStep("file");
		}
	};
	const manifest = () => {
		const document = { product, version: v.version, security_version: Number(v.security), hardware: v.hardware.split(/[\s,]+/).filter(Boolean),
			components: [{ name: v.component, slot_class: v.slot, size: file.size, sha256: hash.sha256, segment_size: SEGMENT, index: hash.index }] };
		if (v.severity) document.severity = v.severity;
		if (v.notes) document.notes = v.notes;
		document.created = Math.floor(Date.now() / 1000);
		return document;
	};
	const ready = /^[A-Za-z0-9.+~-]{1,64}$/.test(v.version) && v.hardware.trim() && /^\d{1,9}$/.test(v.security) && key;
	const steps = { hash: t("Computing digests on this machine"), send: t("Sending the image"), pack: t("Packing the image") };
	return html`<${Card} wide title=${t("New firmware")} actions=${html`<button onClick=${cancel}>${t("Close")}</button>`}>
		<${Fail} error=${error} />
		${step === "file" && html`<${Field} label=${t("Image file")} hint=${t("One file: a file system image, a kernel, a static program. An interrupted upload goes on where it was when you choose the same file again.")}>${(id, d) => html`<input id=${id} type="file" aria-describedby=${d} onChange=${take} />`}<//>`}
		${steps[step] && html`<p>${file.name}, <${Size} of=${file.size} />: ${steps[step]}</p><${Bar} value=${at * 100} max=${100} label=${steps[step]} />`}
		${step === "sign" && html`<div class="cols"><div>
			<${Field} label=${t("Version")} value=${v.version} onValue=${set("version")} required hint="A-Z a-z 0-9 . + ~ -" />
			<${Field} label=${t("Hardware it fits")} value=${v.hardware} onValue=${set("hardware")} required hint=${t("Names separated by commas, exactly as the devices report them.")} />
			<${Field} label=${t("Security version")} type="number" min="0" value=${v.security} onValue=${set("security")} hint=${t("Never lower than before; devices refuse what is below the floor they have reached.")} />
			<${Choice} label=${t("Severity")} value=${v.severity} onValue=${set("severity")} options=${[["", t("not said")], ["low", t("low")], ["medium", t("medium")], ["high", t("high")], ["critical", t("critical")]]} />
			<${Field} label=${t("Notes")}>${(id) => html`<textarea id=${id} rows="3" maxlength="1024" value=${v.notes} onInput=${(e) => set("notes")(e.target.value)}></textarea>`}<//></div>
			<div><div class="signbox"><h3>${t("You sign that this may run")}</h3><dl><dt>${t("Product")}</dt><dd>${product}</dd><dt>${t("Version")}</dt><dd>${v.version || "\u2026"}</dd><dt>${t("On")}</dt><dd>${v.hardware || "\u2026"}</dd><dt>${t("Size")}</dt><dd><${Size} of=${file.size} /></dd><dt>SHA-256</dt><dd><code class="hash">${hash.sha256}</code></dd></dl></div>
			<${KeyChoice} onKey=${setKey} />
			<${Act} primary label=${t("Sign and add")} disabled=${!ready} act=${async () => post(`/v1/products/${product}/firmware`, { firmware: await sign(TYPES.firmware, manifest(), key) })} done=${done} /></div></div>`}<//>`;
};

export const Firmware = ({ product, base, can }) => {
	const [adding, setAdding] = useState(false);
	const { data, error, reload } = useLoad(async () => {
		const [list, shown] = await Promise.all([get(`/v1/products/${product}/firmware`, { limit: 200 }), get(`/v1/products/${product}`)]);
		return { items: list.items, shown };
	}, [product]);
	useLive((name) => name === "firmware" || name === "device", reload, 3000, [product]);
	if (!data) return error ? html`<${Fail} error=${error} retry=${reload} />` : html`<${Loading} />`;
	const { items, shown } = data;
	const columns = [
		{ name: t("Version"), cell: (f) => html`<b>${plain(f.version)}</b>` },
		{ name: t("Signature"), cell: (f) => html`<${Chip} state=${f.development ? "held" : "succeeded"} label=${f.development ? t("development key") : t("verified")} />` },
		{ name: t("Size"), number: true, cell: (f) => html`<${Size} of=${f.size} />` },
		{ name: t("Runs on"), number: true, cell: (f) => html`<a href=${`${base}/devices?version=${encodeURIComponent(f.version)}`}>${count(f.running)}</a>` },
		{ name: t("To fetch, from what runs"), cell: (f) => html`<ul class="plain">${shown.versions.filter((v) => v.digest !== f.image).slice(0, 4).map((v) => html`<li><span class="dim">${plain(v.version)} \u2192</span> <${Size} of=${costOf(f, v.digest)} /></li>`)}${!shown.versions.length && html`<li><${Size} of=${costOf(f, "")} /></li>`}</ul>` },
		{ name: t("Hardware"), cell: (f) => f.hardware.map((h) => html`<span class="tag">${plain(h)}</span>`) },
		{ name: t("Added"), cell: (f) => html`<${Time} at=${f.added} />` },
		...(can("developer") ? [{ name: t("Act"), cell: (f) => html`<a class="button" href=${`${base}/release/new?version=${encodeURIComponent(f.version)}`}>${t("Release")}</a> ${!f.released && html`<${Act} danger label=${t("Delete")} ask=${t("Version {0} is taken away. It was never released.", f.version)} act=${() => remove(`/v1/products/${product}/firmware/${encodeURIComponent(f.version)}`)} done=${reload} />`}` }] : []),
	];
	return html`${can("developer") && (adding ? html`<${Upload} product=${product} hardware=${shown.default_hardware} cancel=${() => setAdding(false)} done=${() => (setAdding(false), reload())} />` : html`<p><button class="primary" onClick=${() => setAdding(true)}>${t("New firmware")}</button></p>`)}
		<${Fail} error=${error} />
		<${Table} caption=${t("Firmware")} columns=${columns} rows=${items.map((f) => ({ ...f, key: f.version }))} empty=${html`<${Empty} title=${t("There is no firmware yet.")}><p>${t("Upload an image here and sign it in this browser, or use: otactl firmware sign, otactl firmware push.")}</p><//>`} />`;
};
