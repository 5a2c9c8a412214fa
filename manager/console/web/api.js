// The REST API, and its live events. The token lives in this tab only.
export class ApiError extends Error {
	constructor(status, problem) {
		super(problem.detail || problem.title || String(status));
		this.status = status;
		this.name_ = problem.name || "";
		this.problem = problem;
	}
}

let token = sessionStorage.getItem("token") || "";
let onLogout = () => {};

export const hasToken = () => token !== "";
export const tokenId = () => token.split(".")[0];
export const setToken = (value) => {
	token = value;
	if (value) sessionStorage.setItem("token", value);
	else sessionStorage.removeItem("token");
};
export const whenLoggedOut = (call) => (onLogout = call);

const request = async (method, path, body, headers = {}) => {
	let response;
	const init = { method, headers: { Authorization: `Bearer ${token}`, ...headers }, cache: "no-store" };
	if (body instanceof Blob) {
		init.body = body;
		init.headers["Content-Type"] = "application/octet-stream";
	} else if (body !== undefined) {
		init.body = JSON.stringify(body);
		init.headers["Content-Type"] = "application/json";
	}
	try {
		response = await fetch(path, init);
	} catch {
		throw new ApiError(0, { name: "unreachable", detail: "" });
	}
	const text = await response.text();
	let answer = {};
	try {
		answer = text && /json/.test(response.headers.get("Content-Type") || "") ? JSON.parse(text) : text;
	} catch {
		answer = {};
	}
	if (response.ok) return answer;
	if (response.status === 401) {
		setToken("");
		onLogout();
	}
	throw new ApiError(response.status, typeof answer === "object" ? answer : {});
};

const query = (values) => {
	const list = Object.entries(values || {}).filter(([, v]) => v !== undefined && v !== "" && v !== null);
	return list.length ? "?" + new URLSearchParams(list.map(([k, v]) => [k, String(v)])) : "";
};

export const get = (path, values) => request("GET", path + query(values));
// Each button press is one act, however often the network makes us repeat it.
export const post = (path, body = {}, values) =>
	request("POST", path + query(values), body, { "Idempotency-Key": crypto.randomUUID() });
export const put = (path, body, headers) => request("PUT", path, body, headers);
export const remove = (path, values) => request("DELETE", path + query(values));

// Walks every page; stops early when `enough` says so.
export const all = async (path, values, enough = () => false) => {
	let items = [], after;
	do {
		const page = await get(path, { limit: 500, ...values, after });
		items = items.concat(page.items);
		after = page.next;
	} while (after && !enough(items));
	return items;
};

// One stream of server-sent events for a product, shared by all who listen. It comes back by itself
// and says where it was, so nothing is missed.
const listeners = new Set();
const states = new Set();
let stream = null;
export let liveState = "off";

const setState = (state) => {
	if (state === liveState) return;
	liveState = state;
	states.forEach((call) => call(state));
};
export const onLiveState = (call) => (states.add(call), () => states.delete(call));
export const onLive = (call) => (listeners.add(call), () => listeners.delete(call));

const dispatch = (run, block) => {
	let name = "", data = "";
	for (const line of block.split("\n")) {
		if (line.startsWith("event: ")) name = line.slice(7);
		else if (line.startsWith("id: ")) run.last = line.slice(4);
		else if (line.startsWith("data: ")) data += line.slice(6);
	}
	if (!name) return;
	if (name === "away") setState("away");
	else if (name === "ready" || name === "back") setState("on");
	if (name === "end") {
		if (/unauthorized|forbidden/.test(data)) {
			run.stopped = true;
			setToken("");
			onLogout();
		}
		return;
	}
	setState(name === "away" ? "away" : "on");
	listeners.forEach((call) => call(name, data ? JSON.parse(data) : {}));
};

const pump = async (run) => {
	const headers = { Authorization: `Bearer ${token}` };
	if (run.last) headers["Last-Event-ID"] = run.last;
	const response = await fetch(`/v1/products/${run.product}/events`, { headers, signal: run.abort.signal, cache: "no-store" });
	if (response.status === 401) {
		run.stopped = true;
		setToken("");
		return onLogout();
	}
	if (!response.ok || !response.body) throw new Error(String(response.status));
	const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	for (;;) {
		const { value, done } = await reader.read();
		if (done) return;
		const blocks = (rest + value).split("\n\n");
		rest = blocks.pop();
		blocks.forEach((block) => dispatch(run, block));
	}
};

export const follow = (product) => {
	if (stream && stream.product === product) return;
	if (stream) {
		stream.stopped = true;
		stream.abort.abort();
	}
	stream = null;
	setState("off");
	if (!product) return;
	const run = (stream = { product, last: "", stopped: false, abort: new AbortController() });
	(async () => {
		for (let wait = 500; !run.stopped; wait = Math.min(wait * 2, 8000)) {
			const from = Date.now();
			try {
				await pump(run);
			} catch {
				/* told by the state */
			}
			if (run.stopped) return;
			setState("lost");
			if (Date.now() - from > 10000) wait = 500;
			await new Promise((done) => setTimeout(done, wait * (0.5 + Math.random() / 2)));
		}
	})();
};
