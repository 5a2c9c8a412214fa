// Releases, and one of them live.
import { html, useState, useEffect, useRef, useLoad, useLive, Card, Fail, Loading, Empty, Table, Chip, Counts, Time, Shares, Act, Fact, Size, Bar, plain, toneOf } from "./ui.js";
import { t, count, percent, duration } from "./text.js";
import { get, post, all } from "./api.js";
import { StateChart, layersOf } from "./chart.js";

export const Releases = ({ product, base, can }) => {
	const { data, error, reload } = useLoad(() => get(`/v1/products/${product}/releases`, { limit: 200 }), [product]);
	useLive((name) => name === "release" || name === "update", reload, 1000, [product]);
	if (!data) return error ? html`<${Fail} error=${error} retry=${reload} />` : html`<${Loading} />`;
	const columns = [
		{ name: t("Release"), cell: (r) => html`<a href=${`${base}/release/${r.number}`}>#${r.number}</a>` },
		{ name: t("Version"), cell: (r) => html`<b>${plain(r.version)}</b>` },
		{ name: t("State"), cell: (r) => html`<${Chip} state=${r.state} />` },
		{ name: t("Mode"), cell: (r) => t(r.mode) },
		{ name: t("Target"), cell: (r) => html`${t(r.target.kind)} ${plain(r.target.name)}` },
		{ name: t("Devices"), cell: (r) => html`<${Counts} counts=${r.counts} />` },
		{ name: t("Created"), cell: (r) => html`<${Time} at=${r.created} /> <span class="dim">${plain(r.manager)}</span>` },
	];
	return html`<${Fail} error=${error} /><${Table} caption=${t("Releases")} columns=${columns} rows=${data.items.map((r) => ({ ...r, key: r.number }))} empty=${html`<${Empty} title=${t("Nothing was released yet.")}>
		${can("developer") && html`<a class="button primary" href=${base + "/release/new"}>${t("New release")}</a>`}<//>`} />`;
};

const GOOD = ["succeeded", "already_installed"], BAD = ["failed", "rolled_back", "rejected", "timed_out", "lost"];
const sumOf = (counts, states) => states.reduce((sum, s) => sum + (counts[s] || 0), 0);
const ENDED = [...GOOD, ...BAD, "canceled", "superseded", "removed", "expired"];

// From the times of the updates that have ended: what happened before this page was opened.
const pastOf = (release, updates) => {
	const ended = updates.filter((u) => ENDED.includes(u.state) && u.since).sort((a, b) => a.since - b.since);
	const from = (release.started || release.created) * 1000, counts = { targeted: release.targeted };
	const samples = [{ at: from, layers: layersOf(counts) }];
	for (const u of ended) {
		counts.targeted--;
		counts[u.state] = (counts[u.state] || 0) + 1;
		samples.push({ at: Math.max(from, u.since * 1000), layers: layersOf(counts) });
	}
	return samples;
};

const useSamples = (release, past) => {
	const [samples, set] = useState([]);
	const counts = release && JSON.stringify(release.counts);
	useEffect(() => {
		if (past) set((old) => past.filter((p) => !old.length || p.at < old[0].at).concat(old));
	}, [past]);
	useEffect(() => {
		if (!release) return;
		const now = { at: Date.now(), layers: layersOf(release.counts) };
		set((old) => {
			const kept = old.length > 600 ? old.filter((_, i) => i % 2 === 0) : old;
			return kept.concat(now);
		});
	}, [counts]);
	return samples;
};

const Rate = ({ release }) => {
	const seen = useRef([]);
	const done = sumOf(release.counts, ENDED), left = release.targeted - done;
	const now = Date.now();
	if (!seen.current.length || seen.current[seen.current.length - 1][1] !== done) seen.current.push([now, done]);
	seen.current = seen.current.filter(([at]) => now - at < 120000);
	const [at, was] = seen.current[0];
	const rate = now - at > 2000 ? ((done - was) * 1000) / (now - at) : 0;
	return html`<dl class="facts"><${Fact} name=${t("Ended")}>${count(done)} / ${count(release.targeted)}<//>
		<${Fact} name=${t("Rate")}>${rate ? t("{0} a minute", count(Math.round(rate * 60))) : "\u2013"}<//>
		<${Fact} name=${t("Still to go")}>${rate && left > 0 ? duration((left / rate) * 1000) : left > 0 ? "\u2013" : t("nobody")}<//></dl>`;
};

const Wave = ({ wave, i, current }) => {
	const good = sumOf(wave.counts || {}, GOOD), bad = sumOf(wave.counts || {}, BAD);
	return html`<li aria-current=${i === current ? "step" : undefined}><b>${i + 1}. ${wave.group ? plain(wave.group) : percent((wave.share || 10000) / 10000)}</b> <span class="dim">${t("{0} devices", count(wave.targeted))}</span>
		<meter class="good" min="0" max=${wave.targeted || 1} value=${good} aria-label=${t("succeeded")}></meter> <span>\u2713 ${count(good)}</span> ${bad > 0 && html`<span class="bad-text">\u2715 ${count(bad)}</span>`}
		${i === current && html`<span class="tag">${t("now")}</span>`}</li>`;
};

export const Release = ({ product, base, can, id, search, me }) => {
	const path = `/v1/products/${product}/releases/${id}`;
	const [state, setState] = useState(search.get("state") || ""), [past, setPast] = useState(null);
	const { data: release, error, reload } = useLoad(() => get(path), [path]);
	const devices = useLoad(() => get(path + "/devices", { state, limit: 100 }), [path, state]);
	const slow = useLoad(async () => {
		const moving = await Promise.all(["downloading", "deferred", "trial"].map((s) => get(path + "/devices", { state: s, limit: 100 })));
		return moving.flatMap((p) => p.items).sort((a, b) => a.since - b.since).slice(0, 5);
	}, [path]);
	useEffect(() => void all(path + "/devices", {}, (items) => items.length >= 5000).then(setPast).catch(() => setPast([])), [path]);
	const reloads = () => (reload(), devices.reload(), slow.reload());
	useLive((name, event) => (name === "release" || name === "update") && String(event.release) === String(id), reloads, 600, [path, state]);
	const history = useRef(null);
	if (release && past && !history.current) history.current = pastOf(release, past);
	const samples = useSamples(release, history.current);
	if (!release) return error ? html`<${Fail} error=${error} retry=${reload} />` : html`<${Loading} />`;
	const act = (verb) => () => post(`${path}/${verb}`);
	const failed = sumOf(release.counts, BAD);
	const over = ["done", "aborted", "superseded", "expired"].includes(release.state);
	const columns = [
		{ name: t("Device"), cell: (u) => html`<a href=${`${base}/device/${encodeURIComponent(u.device)}`}>${plain(u.device)}</a>` },
		{ name: t("State"), cell: (u) => html`<${Chip} state=${u.state} /> ${u.interrupted && html`<span class="tag">${t("interrupted")}</span>`}` },
		{ name: t("Progress"), cell: (u) => u.total && u.state === "downloading" ? html`<${Bar} value=${u.done} max=${u.total} label=${t("Progress")} />` : "" },
		{ name: t("Attempt"), number: true, cell: (u) => u.attempt },
		{ name: t("Wave"), number: true, cell: (u) => u.wave + 1 },
		{ name: t("Since"), cell: (u) => html`<${Time} at=${u.since} />` },
		{ name: t("Reason"), cell: (u) => u.error ? html`<b class="bad-text">${t(u.error.name)}</b> ${plain(u.error.message)}` : u.penalty ? t("sits out") : "" },
	];
	return html`<p class="lead"><b>${plain(release.version)}</b> <${Chip} state=${release.state} /> ${t(release.mode)}, ${t(release.target.kind)} <b>${plain(release.target.name)}</b>, ${t("by {0}", plain(release.manager))}, <${Time} at=${release.created} /></p>
		${release.reason && html`<p class=${"note " + toneOf(release.state)}>${plain(release.reason)}</p>`}
		<${Fail} error=${error} />
		${can("developer") && html`<div class="row actions">
			${release.state === "running" && html`<${Act} label=${t("Hold")} act=${act("hold")} done=${reloads} />`}
			${["held", "halted"].includes(release.state) && html`<${Act} primary label=${t("Resume")} ask=${release.state === "halted" ? t("It was halted: {0}", plain(release.reason)) : undefined} act=${act("resume")} done=${reloads} />`}
			${release.state === "unapproved" && release.manager !== me.name && html`<${Act} primary label=${t("Approve")} ask=${t("As the second person you let it start.")} act=${act("approve")} done=${reloads} />`}
			${release.state === "running" && release.wave + 1 < release.waves.length && html`<${Act} label=${t("Advance")} ask=${t("The next wave starts now, whatever the one before has shown.")} act=${act("advance")} done=${reloads} />`}
			${failed > 0 && html`<${Act} label=${t("Retry the failed")} ask=${t("A new round for {0} devices.", count(failed))} act=${() => post(path + "/retry", {})} done=${reloads} />`}
			${!over && html`<${Act} danger label=${t("Abort")} word=${String(release.number)} ask=${t("Devices that wait or download stop; those that install already finish. This cannot be undone.")} act=${act("abort")} done=${reloads} />`}
			<a class="button" href=${path + "/report.csv"} onClick=${async (e) => {
				e.preventDefault();
				const text = await get(path + "/report.csv");
				const link = document.createElement("a");
				link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
				link.download = `${product}-${release.number}.csv`;
				link.click();
				URL.revokeObjectURL(link.href);
			}}>${t("Download as CSV")}</a></div>`}
		<div class="grid"><${Card} wide title=${t("States over time")}>${samples.length > 0 && html`<${StateChart} samples=${samples} />`}<//>
		<${Card} title=${t("Now")}><${Rate} release=${release} /><${Counts} counts=${release.counts} /><//>
		<${Card} title=${t("Waves")}><ol class="waves">${release.waves.map((w, i) => html`<${Wave} wave=${w} i=${i} current=${over ? -1 : release.wave} />`)}</ol><//>
		<${Card} title=${t("Errors")}>${release.errors.length ? html`<ul class="list">${release.errors.map((e) => html`<li class="bad"><b>${t(e.name)}</b> \u00d7 ${count(e.count)} <span class="dim">${t("for example")}</span> <a class="tag" href=${`${base}/device/${encodeURIComponent(e.device)}`}>${plain(e.device)}</a></li>`)}</ul><${Shares} title=${t("Errors")} max=${Math.max(...release.errors.map((e) => e.count))} items=${release.errors.map((e) => [t(e.name), e.count, "", "bad"])} />` : html`<p class="good-text">\u2713 ${t("No errors.")}</p>`}<//>
		<${Card} title=${t("Longest under way")}>${slow.data && slow.data.length ? html`<ul class="list">${slow.data.map((u) => html`<li><a href=${`${base}/device/${encodeURIComponent(u.device)}`}>${plain(u.device)}</a> <${Chip} state=${u.state} /> <span class="dim"><${Time} at=${u.since} /></span></li>`)}</ul>` : html`<p class="dim">${t("nobody")}</p>`}<//>
		<${Card} wide title=${t("Devices")} actions=${html`<span class="field inline"><label for="state">${t("State")}</label><select id="state" value=${state} onChange=${(e) => setState(e.target.value)}><option value="">${t("any")}</option>${Object.keys(release.counts).map((s) => html`<option value=${s} selected=${s === state}>${t(s)} (${count(release.counts[s])})</option>`)}</select></span>`}>
			${devices.data ? html`<${Table} caption=${t("Devices")} columns=${columns} rows=${devices.data.items.map((u) => ({ ...u, key: u.device }))} empty=${html`<p class="dim">${t("No device is in this state.")}</p>`} />${devices.data.next && html`<p class="dim">${t("The first {0} are shown; the CSV has them all.", count(devices.data.items.length))}</p>`}` : html`<${Loading} />`}<//></div>`;
};
