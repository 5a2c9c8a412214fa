// The pieces that every screen is made of.
import { html, useEffect, useRef, useState, useCallback } from "./vendor/htm-preact.js";
import { t, when, count, bytes, errorText } from "./text.js";
import { onLive } from "./api.js";

export { html, useEffect, useRef, useState, useCallback };

// What a device or a person typed: shown as it is, without the characters that reorder or hide text.
export const plain = (value) =>
	String(value ?? "").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "\ufffd");

// Loads, and again when told: {data, error, loading, reload}.
export const useLoad = (load, on) => {
	const [state, set] = useState({ data: null, error: null, loading: true });
	const run = useRef(0);
	const reload = useCallback(async () => {
		const mine = ++run.current;
		try {
			const data = await load();
			if (mine === run.current) set({ data, error: null, loading: false });
		} catch (error) {
			if (mine === run.current) set((old) => ({ data: old.data, error, loading: false }));
		}
	}, on);
	useEffect(() => {
		set((old) => ({ ...old, loading: true }));
		reload();
		return () => void run.current++;
	}, on);
	return { ...state, reload };
};

// Calls `act` soon after a live event that `fits`, at most every `period` ms.
export const useLive = (fits, act, period, on) =>
	useEffect(() => {
		let timer = 0, last = 0;
		const off = onLive((name, event) => {
			if (!(name === "back" || name === "ready" || name === "gap" || fits(name, event)) || timer) return;
			timer = setTimeout(() => {
				timer = 0;
				last = Date.now();
				act();
			}, Math.max(30, period - (Date.now() - last)));
		});
		return () => (off(), clearTimeout(timer));
	}, on);

const TONES = {
	succeeded: "good", already_installed: "good", approved: "good", running: "busy", done: "good",
	failed: "bad", rolled_back: "bad", lost: "bad", timed_out: "bad", rejected: "bad", halted: "bad", denied: "bad",
	downloading: "busy", downloaded: "busy", verified: "busy", installing: "busy", installed: "busy", restarting: "busy", trial: "busy",
	deferred: "wait", held: "wait", quarantined: "wait", unapproved: "wait", scheduled: "wait", offered: "busy",
};
const SIGNS = { good: "\u2713", bad: "\u2715", busy: "\u25b6", wait: "\u2016", idle: "\u25cb" };
export const toneOf = (state) => TONES[state] || "idle";
export const Chip = ({ state, label }) => {
	const tone = toneOf(state);
	return html`<span class=${"chip " + tone}><span aria-hidden="true">${SIGNS[tone]}</span> ${label || t(state || "none")}</span>`;
};

export const Online = ({ online }) =>
	html`<span class=${"dot " + (online ? "good" : "idle")}><span aria-hidden="true">${online ? "\u25cf" : "\u25cb"}</span> ${t(online ? "online" : "offline")}</span>`;

export const Time = ({ at, ms }) => {
	const value = ms ?? (at || 0) * 1000;
	return value ? html`<time datetime=${new Date(value).toISOString()} title=${new Date(value).toISOString()}>${when(value)}</time>` : html`<span class="dim">${t("never")}</span>`;
};

export const Bar = ({ value, max, label }) =>
	html`<span class="bar"><progress value=${value} max=${max || 1} aria-label=${label}></progress> <span>${max ? Math.floor((value * 100) / max) : 0} %</span></span>`;

export const Fail = ({ error, retry }) =>
	error && html`<div class="note bad" role="alert"><p><strong>${t("This did not work.")}</strong> ${errorText(error)}</p>
		${retry && html`<button onClick=${retry}>${t("Try again")}</button>`}</div>`;

export const Empty = ({ title, children }) => html`<div class="empty"><p class="big">${title}</p>${children}</div>`;

export const Loading = () => html`<p class="dim" role="status">${t("Loading\u2026")}</p>`;

export const Card = ({ title, children, wide, actions }) =>
	html`<section class=${"card" + (wide ? " wide" : "")}>${(title || actions) && html`<div class="card-head"><h2>${title}</h2>${actions}</div>`}${children}</section>`;

export const Fact = ({ name, children }) => html`<div class="fact"><dt>${name}</dt><dd>${children}</dd></div>`;

let ids = 0;
export const useId = () => useRef(`f${++ids}`).current;

export const Field = ({ label, hint, error, children, type = "text", value, onValue, ...rest }) => {
	const id = useId();
	const described = [hint && id + "h", error && id + "e"].filter(Boolean).join(" ") || undefined;
	return html`<div class="field"><label for=${id}>${label}</label>
		${children ? children(id, described) : html`<input id=${id} type=${type} value=${value} aria-describedby=${described} aria-invalid=${error ? "true" : undefined} onInput=${(e) => onValue(e.target.value)} ...${rest} />`}
		${hint && html`<p class="hint" id=${id + "h"}>${hint}</p>`}${error && html`<p class="hint bad-text" id=${id + "e"}>${error}</p>`}</div>`;
};
export const Choice = ({ label, hint, value, onValue, options }) => html`<${Field} label=${label} hint=${hint}>${(id, described) =>
	html`<select id=${id} aria-describedby=${described} value=${value} onChange=${(e) => onValue(e.target.value)}>
		${options.map(([v, text]) => html`<option value=${v} selected=${v === value}>${text}</option>`)}</select>`}<//>`;
export const Check = ({ label, hint, value, onValue }) => {
	const id = useId();
	return html`<div class="field check"><input id=${id} type="checkbox" checked=${value} aria-describedby=${hint ? id + "h" : undefined} onChange=${(e) => onValue(e.target.checked)} />
		<label for=${id}>${label}</label>${hint && html`<p class="hint" id=${id + "h"}>${hint}</p>`}</div>`;
};

// A dialog that asks before acting; `word` must be typed first when given.
export const Ask = ({ title, text, yes, word, danger, onYes, onNo }) => {
	const box = useRef(), [typed, type] = useState(""), [busy, setBusy] = useState(false), [error, setError] = useState(null);
	const id = useId();
	useEffect(() => box.current.showModal(), []);
	const act = async (event) => {
		event.preventDefault();
		setBusy(true);
		try {
			await onYes();
		} catch (e) {
			setError(e);
			setBusy(false);
		}
	};
	return html`<dialog ref=${box} aria-labelledby=${id} onClose=${onNo} onCancel=${onNo}><form onSubmit=${act}>
		<h2 id=${id}>${title}</h2><p>${text}</p>
		${word && html`<${Field} label=${t("Type {0} to go on", word)} value=${typed} onValue=${type} autocomplete="off" spellcheck=${false} />`}
		<${Fail} error=${error} />
		<div class="row end"><button type="button" onClick=${onNo}>${t("Cancel")}</button>
		<button class=${danger ? "danger" : "primary"} disabled=${busy || (word && typed !== word)}>${yes}</button></div></form></dialog>`;
};

// A button that may ask first, and says when it failed.
export const Act = ({ label, ask, word, danger, primary, act, done, disabled }) => {
	const [asking, setAsking] = useState(false), [busy, setBusy] = useState(false), [error, setError] = useState(null);
	const run = async () => {
		setBusy(true);
		setError(null);
		try {
			const answer = await act();
			setAsking(false);
			say(t("Done: {0}", label));
			if (done) done(answer);
		} finally {
			setBusy(false);
		}
	};
	return html`<span class="act"><button class=${danger ? "danger" : primary ? "primary" : ""} disabled=${busy || disabled}
		onClick=${() => (ask ? setAsking(true) : run().catch(setError))}>${label}</button>
		${error && html`<span class="bad-text" role="alert">${errorText(error)}</span>`}
		${asking && html`<${Ask} title=${label} text=${ask} yes=${label} word=${word} danger=${danger} onYes=${run} onNo=${() => setAsking(false)} />`}</span>`;
};

// Said politely to whoever cannot see the screen, and shown for a moment to who can.
let sayer = () => {};
export const say = (text) => sayer(text);
export const Sayer = () => {
	const [text, set] = useState("");
	useEffect(() => {
		let timer;
		sayer = (value) => (set(value), clearTimeout(timer), (timer = setTimeout(() => set(""), 4000)));
		return () => clearTimeout(timer);
	}, []);
	return html`<div class=${"toast" + (text ? " on" : "")} role="status" aria-live="polite">${text}</div>`;
};

export const Table = ({ caption, columns, rows, empty }) =>
	!rows.length ? empty || null : html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}><table><caption class="sr">${caption}</caption>
		<thead><tr>${columns.map((c) => html`<th scope="col" class=${c.number ? "num" : ""}>${c.name}</th>`)}</tr></thead>
		<tbody>${rows.map((row) => html`<tr key=${row.key}>${columns.map((c, i) => i === 0 ? html`<th scope="row">${c.cell(row)}</th>` : html`<td class=${c.number ? "num" : ""}>${c.cell(row)}</td>`)}</tr>`)}</tbody></table></div>`;

// Rows of one height, of which only those in sight are in the page.
export const VirtualRows = ({ rows, height, caption, columns, more, total }) => {
	const box = useRef(), [top, setTop] = useState(0), [size, setSize] = useState(600);
	useEffect(() => {
		const watch = new ResizeObserver(() => box.current && setSize(box.current.clientHeight));
		watch.observe(box.current);
		return () => watch.disconnect();
	}, []);
	const first = Math.max(0, Math.floor(top / height) - 8), last = Math.min(rows.length, Math.ceil((top + size) / height) + 8);
	useEffect(() => {
		if (more && last > rows.length - 60) more();
	}, [last, rows.length, more]);
	const span = columns.length;
	return html`<div class="scroll tall" ref=${box} tabindex="0" role="region" aria-label=${caption} onScroll=${(e) => setTop(e.target.scrollTop)}>
		<table class="fixed" aria-rowcount=${total || rows.length}><caption class="sr">${caption}</caption>
		<thead><tr>${columns.map((c) => html`<th scope="col" class=${c.className || ""}>${c.head || c.name}</th>`)}</tr></thead>
		<tbody>${first > 0 && html`<tr aria-hidden="true" key="top"><td colspan=${span} class="pad" style=${{ height: first * height + "px" }}></td></tr>`}
		${rows.slice(first, last).map((row, i) => html`<tr key=${row.key} aria-rowindex=${first + i + 2} style=${{ height: height + "px" }}>${columns.map((c, j) => j === (columns[0].control ? 1 : 0) ? html`<th scope="row" class=${c.className || ""}>${c.cell(row)}</th>` : html`<td class=${c.className || ""}>${c.cell(row)}</td>`)}</tr>`)}
		${last < rows.length && html`<tr aria-hidden="true" key="bottom"><td colspan=${span} class="pad" style=${{ height: (rows.length - last) * height + "px" }}></td></tr>`}</tbody></table></div>`;
};

export const Counts = ({ counts }) => {
	const list = Object.entries(counts || {}).filter(([, n]) => n).sort((a, b) => b[1] - a[1]);
	return list.length ? html`<ul class="chips">${list.map(([state, n]) => html`<li><${Chip} state=${state} label=${`${count(n)} ${t(state)}`} /></li>`)}</ul>` : html`<span class="dim">${t("none")}</span>`;
};

export const Shares = ({ title, items, max }) =>
	html`<ul class="shares" aria-label=${title}>${items.map(([name, n, link, tone]) => html`<li><span class="share-name">${link ? html`<a href=${link}>${plain(name)}</a>` : plain(name)}</span>
		<meter class=${tone || ""} min="0" max=${max || 1} value=${n} aria-label=${plain(name)}></meter><span class="num">${count(n)}</span></li>`)}</ul>`;

export const Size = ({ of }) => html`<span title=${count(of) + " B"}>${bytes(of)}</span>`;
