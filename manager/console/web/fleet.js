// Fleet: what runs, what moves, what needs someone.
import { html, useLoad, useLive, Card, Shares, Counts, Fail, Loading, Empty, Chip, Time, plain } from "./ui.js";
import { t, count } from "./text.js";
import { get } from "./api.js";

const attentionOf = (product, releases, base) => {
	const list = [];
	if (product.quarantined) list.push([`${base}/devices?status=quarantined`, "wait", t("{0} devices wait for approval", count(product.quarantined))]);
	for (const r of releases) {
		if (r.state === "halted") list.push([`${base}/release/${r.number}`, "bad", t("Release {0} was halted: {1}", r.number, plain(r.reason))]);
		if (r.state === "held") list.push([`${base}/release/${r.number}`, "wait", t("Release {0} is held: {1}", r.number, plain(r.reason) || t("by a manager"))]);
		if (r.state === "unapproved") list.push([`${base}/release/${r.number}`, "wait", t("Release {0} waits for a second person", r.number)]);
		if (r.counts && r.counts.lost) list.push([`${base}/release/${r.number}?state=lost`, "bad", t("Release {0}: {1} devices are lost", r.number, count(r.counts.lost))]);
	}
	return list;
};

export const Fleet = ({ product, base, can }) => {
	const { data, error, loading, reload } = useLoad(async () => {
		const [shown, releases] = await Promise.all([get(`/v1/products/${product}`), get(`/v1/products/${product}/releases`, { limit: 20 })]);
		return { shown, releases: releases.items };
	}, [product]);
	useLive((name) => ["device", "update", "release", "firmware"].includes(name), reload, 1000, [product]);
	if (!data) return error ? html`<${Fail} error=${error} retry=${reload} />` : html`<${Loading} />`;
	const { shown, releases } = data;
	if (!shown.devices)
		return html`<${Empty} title=${t("No device has said hello yet.")}><p>${t("Give a device a certificate whose OU is ota-device and install the agent; it appears under Devices, waiting for approval. Or import the ids you expect beforehand.")}</p>
			${can("developer") && html`<a class="button primary" href=${base + "/devices"}>${t("Import devices")}</a>`}<//>`;
	const attention = attentionOf(shown, releases, base);
	const errors = releases.filter((r) => ["running", "halted", "held"].includes(r.state)).flatMap((r) => r.errors.map((e) => ({ ...e, release: r.number })));
	const moving = releases.filter((r) => ["running", "held", "halted", "scheduled", "unapproved"].includes(r.state));
	return html`<div class="grid" aria-busy=${loading}>
		<${Card} title=${t("Devices")}><p class="figure"><b>${count(shown.online)}</b> ${t("of {0} online", count(shown.devices))}</p>
			<meter class="good" min="0" max=${shown.devices} value=${shown.online} aria-label=${t("online")}></meter>
			<${Counts} counts=${shown.status} /><//>
		<${Card} title=${t("Needs attention")}>${attention.length ? html`<ul class="list">${attention.map(([link, tone, text]) => html`<li class=${tone}><a href=${link}>${text}</a></li>`)}</ul>` : html`<p class="good-text">\u2713 ${t("Nothing needs you now.")}</p>`}<//>
		<${Card} title=${t("Versions running")}>${shown.versions.length ? html`<${Shares} title=${t("Versions running")} max=${shown.devices} items=${shown.versions.slice(0, 10).map((v) => [v.version, v.count, `${base}/devices?version=${encodeURIComponent(v.version)}`])} />` : html`<p class="dim">${t("none")}</p>`}<//>
		<${Card} title=${t("Updates")}><${Counts} counts=${shown.states} /><//>
		<${Card} wide title=${t("Releases under way")}>${moving.length ? html`<ul class="list">${moving.map((r) => html`<li><a href=${`${base}/release/${r.number}`}>${t("Release {0}", r.number)}</a> <b>${plain(r.version)}</b> <${Chip} state=${r.state} /> <span class="dim">${t(r.mode)}, ${t(r.target.kind)} ${plain(r.target.name)}, <${Time} at=${r.started || r.created} /></span> <${Counts} counts=${r.counts} /></li>`)}</ul>` : html`<p class="dim">${t("No release is under way.")}</p>`}<//>
		<${Card} wide title=${t("Errors of the releases under way")}>${errors.length ? html`<ul class="list">${errors.map((e) => html`<li class="bad"><b>${t(e.name)}</b> \u00d7 ${count(e.count)} <a href=${`${base}/release/${e.release}`}>${t("Release {0}", e.release)}</a> <span class="dim">${t("for example")}</span> <a class="tag" href=${`${base}/device/${encodeURIComponent(e.device)}`}>${plain(e.device)}</a></li>`)}</ul>` : html`<p class="good-text">\u2713 ${t("No errors.")}</p>`}<//>
	</div>`;
};
