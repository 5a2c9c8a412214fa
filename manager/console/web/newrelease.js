// New release: what, to whom, how; what it would do; sign; confirm.
import { html, useState, useLoad, useRef, Card, Fail, Loading, Empty, Field, Choice, Check, Act, Shares, Size, plain } from "./ui.js";
import { t, count, percent } from "./text.js";
import { get, post, all } from "./api.js";
import { sign, TYPES } from "./sign.js";
import { KeyChoice } from "./keys.js";
import { costOf } from "./firmware.js";

const WAVES = { careful: [100, 1000, 5000, 10000], half: [5000, 10000], all: [10000] };
const seconds = (text) => (text ? Math.floor(new Date(text).getTime() / 1000) : 0);

const Impact = ({ plan, cost }) => html`<${Card} wide title=${t("What it would do")}>
	<p class="figure"><b>${count(plan.targeted)}</b> ${t("devices are reached")}</p>
	<p>${t("At most")} <${Size} of=${cost} /> ${t("to fetch in all.")}</p>
	${!plan.proven && html`<p class="note wait">${t("This version has not yet succeeded on any device of the product. Release it to one device first, or have an administrator override.")}</p>`}
	<div class="cols"><div><h3>${t("Waves")}</h3><${Shares} title=${t("Waves")} max=${plan.targeted} items=${plan.waves.map((w, i) => [w.group || `${i + 1}. ${t("up to {0}", percent(w.share / 10000))}`, w.targeted])} /></div>
	<div><h3>${t("Left out, and why")}</h3>${plan.skipped.length ? html`<ul class="list">${plan.skipped.map((s) => html`<li><b>${count(s.count)}</b> ${plain(s.sentence)} <span class="dim">${s.sample.slice(0, 5).map((d) => html`<span class="tag">${plain(d)}</span>`)}</span></li>`)}</ul>` : html`<p class="good-text">\u2713 ${t("nobody")}</p>`}</div></div><//>`;

export const NewRelease = ({ product, base, search, role }) => {
	const { data, error, reload } = useLoad(async () => {
		const [shown, firmware, groups] = await Promise.all([get(`/v1/products/${product}`), all(`/v1/products/${product}/firmware`), get(`/v1/products/${product}/groups`, { limit: 500 })]);
		return { shown, firmware, groups: groups.items };
	}, [product]);
	const [v, setV] = useState({ version: search.get("version") || "", kind: search.get("device") ? "device" : "product", name: search.get("device") || "", mode: "standard", waves: "careful", days: "30", deadline: "", not_before: "", concurrent: "", force: false, downgrade: search.get("downgrade") === "1", rollback: false, override: false });
	const [key, setKey] = useState(null), [plan, setPlan] = useState(null);
	const envelope = useRef("");
	const set = (name) => (value) => (setPlan(null), setV((old) => ({ ...old, [name]: value })));
	if (!data) return error ? html`<${Fail} error=${error} retry=${reload} />` : html`<${Loading} />`;
	const { shown, firmware, groups } = data;
	if (!firmware.length) return html`<${Empty} title=${t("There is no firmware to release yet.")}><a class="button primary" href=${base + "/firmware"}>${t("New firmware")}</a><//>`;
	const chosen = firmware.find((f) => f.version === v.version) || firmware[0];
	const name = v.kind === "product" ? product : v.kind === "group" ? v.name || (groups[0] && groups[0].group) || "" : v.name;
	const cost = plan ? shown.versions.filter((x) => x.digest !== chosen.image).reduce((sum, x) => sum + x.count * costOf(chosen, x.digest), 0) * Math.min(1, plan.targeted / Math.max(1, shown.devices)) : 0;
	const release = () => {
		const now = Math.floor(Date.now() / 1000);
		const document = { product, number: shown.next_number, firmware: chosen.digest, mode: v.mode, target: { kind: v.kind, name } };
		if (v.kind !== "device") document.waves = WAVES[v.waves].map((share) => ({ share }));
		if (v.concurrent) document.max_concurrent = Number(v.concurrent);
		if (seconds(v.not_before)) document.not_before = seconds(v.not_before);
		if (v.mode === "standard" && seconds(v.deadline)) document.deadline = seconds(v.deadline);
		if (v.downgrade) document.allow_downgrade = true;
		if (v.force) document.force = true;
		if (v.rollback) document.rollback_on_halt = true;
		document.not_after = now + Number(v.days) * 86400;
		document.created = now;
		return document;
	};
	const dryRun = async () => {
		envelope.current = await sign(TYPES.release, release(), key);
		return post(`/v1/products/${product}/releases`, { release: envelope.current }, { dry_run: true });
	};
	const create = () => post(`/v1/products/${product}/releases`, { release: envelope.current }, v.override ? { override: true } : undefined);
	const ready = key && name && /^\d{1,4}$/.test(v.days) && Number(v.days) > 0 && (!v.concurrent || /^[1-9]\d{0,6}$/.test(v.concurrent));
	return html`<div class="cols"><${Card} title=${t("What, to whom, how")}>
		<${Choice} label=${t("Firmware")} value=${chosen.version} onValue=${set("version")} options=${firmware.map((f) => [f.version, `${plain(f.version)}${f.development ? " \u00b7 " + t("development key") : ""}`])} />
		<${Choice} label=${t("Target")} value=${v.kind} onValue=${(kind) => (setPlan(null), setV({ ...v, kind, name: "" }))} options=${[["product", t("All devices of the product")], ...(groups.length ? [["group", t("A group")]] : []), ["device", t("One device")]]} />
		${v.kind === "group" && html`<${Choice} label=${t("Group")} value=${name} onValue=${set("name")} options=${groups.map((g) => [g.group, `${g.group} (${count(g.devices)})`])} />`}
		${v.kind === "device" && html`<${Field} label=${t("Device")} value=${v.name} onValue=${set("name")} required />`}
		<${Choice} label=${t("Mode")} value=${v.mode} onValue=${set("mode")} hint=${v.mode === "fast" ? t("Devices are told now; each still chooses its moment.") : t("Each device learns of it at its next reconnection.")} options=${[["standard", t("standard")], ["fast", t("fast")]]} />
		${v.kind !== "device" && html`<${Choice} label=${t("Waves")} value=${v.waves} onValue=${set("waves")} hint=${t("The next wave starts when enough of the one before succeeded; failures halt the release.")} options=${[["careful", "1 % \u2192 10 % \u2192 50 % \u2192 100 %"], ["half", "50 % \u2192 100 %"], ["all", t("everyone at once")]]} />`}
		<details><summary>${t("More")}</summary>
			<${Field} label=${t("Days until it expires")} type="number" min="1" value=${v.days} onValue=${set("days")} />
			<${Field} label=${t("Not before")} type="datetime-local" value=${v.not_before} onValue=${set("not_before")} />
			${v.mode === "standard" && html`<${Field} label=${t("Deadline: told at once from then on")} type="datetime-local" value=${v.deadline} onValue=${set("deadline")} />`}
			<${Field} label=${t("Downloads at a time")} type="number" min="1" value=${v.concurrent} onValue=${set("concurrent")} hint=${t("Empty: as the plugin is set.")} />
			<${Check} label=${t("Force: do not wait for the devices' consent")} value=${v.force} onValue=${set("force")} />
			<${Check} label=${t("Allow a lower version")} value=${v.downgrade} onValue=${set("downgrade")} />
			<${Check} label=${t("Roll back those already updated if it is halted")} value=${v.rollback} onValue=${set("rollback")} />
			${role === "admin" && html`<${Check} label=${t("Override: release a version that is not proven")} value=${v.override} onValue=${set("override")} />`}
		</details><//>
		<${Card} title=${t("Sign")}><div class="signbox"><h3>${t("You ask for this, as a device manager")}</h3><dl><dt>${t("Release")}</dt><dd>${product} #${shown.next_number}</dd><dt>${t("Firmware")}</dt><dd>${plain(chosen.version)} <code class="hash">${chosen.digest}</code></dd>
			<dt>${t("Target")}</dt><dd>${t(v.kind)} ${name || "\u2026"}</dd><dt>${t("Mode")}</dt><dd>${t(v.mode)}</dd>${plan && html`<dt>${t("Devices")}</dt><dd>${count(plan.targeted)}</dd>`}</dl></div>
			<${KeyChoice} onKey=${(k) => (setKey(k), setPlan(null))} />
			<${Act} label=${t("Sign and see what it would do")} primary=${!plan} disabled=${!ready} act=${dryRun} done=${setPlan} />
			${plan && html`<${Act} primary label=${t("Release")} word=${chosen.version} ask=${t("{0} devices get version {1}, in {2} mode.", count(plan.targeted), chosen.version, t(v.mode))} disabled=${!plan.targeted && v.kind !== "product"} act=${create} done=${(r) => (location.hash = `${base}/release/${r.number}`)} />`}<//></div>
		${plan && html`<${Impact} plan=${plan} cost=${cost} />`}`;
};
