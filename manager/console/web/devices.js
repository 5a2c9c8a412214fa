// Devices: find, select, approve, group, import. Lists of any length: rows come a page at a time.
import { html, useState, useEffect, useRef, useCallback, useLoad, useLive, VirtualRows, Chip, Online, Time, Fail, Empty, Card, Field, Act, Loading, plain } from "./ui.js";
import { t, count } from "./text.js";
import { get, post } from "./api.js";

const STATES = ["offered", "deferred", "downloading", "installing", "trial", "succeeded", "failed", "rolled_back", "lost", "timed_out", "rejected", "superseded"];
const Import = ({ product, done }) => {
	const [text, type] = useState("");
	const ids = text.split(/[\s,;]+/).filter(Boolean);
	const send = async () => {
		const sum = { added: 0, existing: 0, invalid: 0, invalid_ids: [] };
		for (let i = 0; i < ids.length; i += 1000) {
			const answer = await post(`/v1/products/${product}/devices`, { devices: ids.slice(i, i + 1000) });
			for (const k of ["added", "existing", "invalid"]) sum[k] += answer[k];
			sum.invalid_ids.push(...(answer.invalid_ids || []));
		}
		return sum;
	};
	const [answer, setAnswer] = useState(null);
	return html`<details class="card"><summary>${t("Import devices")}</summary><${Field} label=${t("Device ids, one a line")} hint=${t("Imported devices are approved at first sight. An id is the CN of the device's certificate.")}>${(id, described) => html`<textarea id=${id} aria-describedby=${described} rows="5" value=${text} onInput=${(e) => type(e.target.value)} spellcheck="false"></textarea>`}<//>
		<${Act} primary label=${t("Import {0}", count(ids.length))} disabled=${!ids.length} act=${send} done=${(a) => (setAnswer(a), type(""), done())} />
		${answer && html`<p role="status">${t("{0} added, {1} were there, {2} invalid", count(answer.added), count(answer.existing), count(answer.invalid))} ${answer.invalid_ids.map((i) => html`<code>${plain(i)}</code> `)}</p>`}</details>`;
};

const Bulk = ({ product, chosen, groups, clear, done }) => {
	const [group, setGroup] = useState("");
	const ids = [...chosen];
	const each = async (call) => {
		for (let i = 0; i < ids.length; i += 1000) await call(ids.slice(i, i + 1000));
	};
	const path = `/v1/products/${product}`;
	const finish = () => (clear(), done());
	return html`<div class="bulk" role="group" aria-label=${t("Selected devices")}><b>${t("{0} selected", count(ids.length))}</b>
		<${Act} primary label=${t("Approve")} act=${() => each((devices) => post(path + "/devices/approve", { devices }))} done=${finish} />
		<${Act} label=${t("Deny")} danger ask=${t("They get no updates and no answers until approved again.")} act=${() => each((devices) => post(path + "/devices/deny", { devices }))} done=${finish} />
		<label class="sr" for="bulk-group">${t("Group")}</label><select id="bulk-group" value=${group} onChange=${(e) => setGroup(e.target.value)}><option value="">${t("Group\u2026")}</option>${groups.map((g) => html`<option value=${g.group}>${g.group}</option>`)}</select>
		<${Act} label=${t("Add to group")} disabled=${!group} act=${() => each((add) => post(`${path}/groups/${group}/devices`, { add }))} done=${finish} />
		<${Act} label=${t("Remove from group")} disabled=${!group} act=${() => each((remove) => post(`${path}/groups/${group}/devices`, { remove }))} done=${finish} />
		<button onClick=${clear}>${t("Clear selection")}</button></div>`;
};

export const Devices = ({ product, base, can, search }) => {
	const [filter, setFilter] = useState({ search: search.get("search") || "", status: search.get("status") || "", group: search.get("group") || "", version: search.get("version") || "", state: search.get("state") || "", online: search.get("online") || "" });
	const [rows, setRows] = useState([]), [error, setError] = useState(null), [chosen, setChosen] = useState(new Set()), [first, setFirst] = useState(true);
	const next = useRef(undefined), busy = useRef(false), run = useRef(0);
	const frame = useLoad(async () => {
		const [shown, groups] = await Promise.all([get(`/v1/products/${product}`), get(`/v1/products/${product}/groups`, { limit: 500 })]);
		return { shown, groups: groups.items };
	}, [product]);
	const load = useCallback(async (fresh) => {
		if (busy.current && !fresh) return;
		const mine = fresh ? ++run.current : run.current;
		if (!fresh && next.current === undefined) return;
		busy.current = true;
		try {
			const page = await get(`/v1/products/${product}/devices`, { ...filter, limit: 200, after: fresh ? undefined : next.current });
			if (mine !== run.current) return;
			next.current = page.next;
			const items = page.items.map((d) => ({ ...d, key: d.device }));
			setRows((old) => (fresh ? items : old.concat(items)));
			setError(null);
		} catch (e) {
			if (mine === run.current) setError(e);
		} finally {
			busy.current = false;
			setFirst(false);
		}
	}, [product, JSON.stringify(filter)]);
	useEffect(() => {
		const timer = setTimeout(() => load(true), 150);
		return () => clearTimeout(timer);
	}, [load]);
	// Rows in sight are refreshed one by one: a reload would lose the place.
	useLive((name, event) => {
		if (name === "device") setRows((old) => old.map((r) => r.device === event.device ? { ...r, status: event.status, online: event.online, version: event.version || r.version } : r));
		if (name === "update") setRows((old) => old.map((r) => r.device === event.device ? { ...r, update: { ...(r.update || {}), ...event } } : r));
		return name === "device" && !rows.length;
	}, () => (load(true), frame.reload()), 1500, [load, rows.length]);
	const set = (key) => (e) => setFilter({ ...filter, [key]: e.target.value });
	const toggle = (id) => setChosen((old) => {
		const copy = new Set(old);
		if (!copy.delete(id)) copy.add(id);
		return copy;
	});
	const every = rows.length > 0 && rows.every((r) => chosen.has(r.device));
	const columns = [
		...(can("developer") ? [{ control: true, className: "pick", name: t("Select"), head: html`<input type="checkbox" aria-label=${t("Select all rows shown")} checked=${every} onChange=${() => setChosen(every ? new Set() : new Set(rows.map((r) => r.device)))} />`, cell: (r) => html`<input type="checkbox" aria-label=${t("Select {0}", r.device)} checked=${chosen.has(r.device)} onChange=${() => toggle(r.device)} />` }] : []),
		{ name: t("Device"), className: "name", cell: (r) => html`<a href=${`${base}/device/${encodeURIComponent(r.device)}`}>${plain(r.device)}</a>` },
		{ name: t("Status"), cell: (r) => html`<${Chip} state=${r.status} />` },
		{ name: t("Connection"), cell: (r) => html`<${Online} online=${r.online} />` },
		{ name: t("Version"), cell: (r) => html`<code title=${plain(r.version)}>${plain(r.version) || "\u2013"}</code>` },
		{ name: t("Update"), cell: (r) => r.update && r.update.state ? html`<${Chip} state=${r.update.state} />` : html`<span class="dim">\u2013</span>` },
		{ name: t("Groups"), className: "wide-only", cell: (r) => r.groups.map((g) => html`<span class="tag">${g}</span>`) },
		{ name: t("Last seen"), className: "wide-only", cell: (r) => html`<${Time} at=${r.seen} />` },
	];
	const filtered = Object.values(filter).some(Boolean);
	const groups = frame.data ? frame.data.groups : [], versions = frame.data ? frame.data.shown.versions : [];
	const pick = (key, label, options) => html`<div class="field"><label for=${"f-" + key}>${label}</label><select id=${"f-" + key} value=${filter[key]} onChange=${set(key)}><option value="">${t("any")}</option>${options.map(([v, text]) => html`<option value=${v} selected=${filter[key] === v}>${text}</option>`)}</select></div>`;
	return html`<form class="filters" role="search" onSubmit=${(e) => e.preventDefault()}>
		<div class="field grow"><label for="f-search">${t("Part of an id")}</label><input id="f-search" type="search" value=${filter.search} onInput=${set("search")} /></div>
		${pick("status", t("Status"), ["quarantined", "approved", "denied", "decommissioned"].map((s) => [s, t(s)]))}
		${pick("online", t("Connection"), [["true", t("online")], ["false", t("offline")]])}
		${pick("version", t("Version"), versions.map((v) => [v.version, `${plain(v.version)} (${count(v.count)})`]))}
		${pick("state", t("Update"), STATES.map((s) => [s, t(s)]))}
		${pick("group", t("Group"), groups.map((g) => [g.group, `${g.group} (${count(g.devices)})`]))}
		${filtered && html`<button type="button" onClick=${() => setFilter({ search: "", status: "", group: "", version: "", state: "", online: "" })}>${t("Clear filters")}</button>`}</form>
		${can("developer") && html`<${Import} product=${product} done=${() => (load(true), frame.reload())} />`}
		${chosen.size > 0 && html`<${Bulk} product=${product} chosen=${chosen} groups=${groups} clear=${() => setChosen(new Set())} done=${() => (load(true), frame.reload())} />`}
		<${Fail} error=${error} retry=${() => load(true)} />
		${first ? html`<${Loading} />` : rows.length ? html`<p class="dim" role="status">${frame.data && !filtered ? t("{0} devices", count(frame.data.shown.devices)) : t("{0} shown", count(rows.length) + (next.current !== undefined ? "+" : ""))}</p>
			<${VirtualRows} rows=${rows} height=${44} caption=${t("Devices")} columns=${columns} more=${load} total=${frame.data && !filtered ? frame.data.shown.devices : rows.length} />`
			: html`<${Empty} title=${filtered ? t("No device fits these filters.") : t("There is no device yet.")}>${!filtered && html`<p>${t("A device appears here by itself when it first connects with a certificate whose OU is ota-device; it then waits for approval.")}</p>`}<//>`}`;
};
