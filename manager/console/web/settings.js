// Settings: people, tokens, keys, the product's rules, the audit and its chain.
import { html, useState, useLoad, Card, Fail, Loading, Table, Time, Field, Choice, Check, Act, Chip, plain } from "./ui.js";
import { t, count } from "./text.js";
import { get, post, put, remove } from "./api.js";
import { textOfBase64 } from "./sign.js";

const ROLES = ["viewer", "maintainer", "developer", "admin"];
const roleOptions = () => ROLES.map((r) => [r, t(r)]);

const ProductRules = ({ product, reloadProducts }) => {
	const { data, error, reload } = useLoad(() => get(`/v1/products/${product}`), [product]);
	const [v, set] = useState(null);
	if (!data) return html`<${Fail} error=${error} />`;
	const now = v || { title: data.title, import_only: data.import_only, second_approval: data.second_approval, default_hardware: data.default_hardware };
	return html`<${Card} title=${t("Product")}><${Field} label=${t("Title")} value=${now.title} onValue=${(title) => set({ ...now, title })} maxlength="64" />
		<${Check} label=${t("Only imported devices: unknown ones are denied")} value=${now.import_only} onValue=${(import_only) => set({ ...now, import_only })} />
		<${Check} label=${t("A second person must approve each release")} value=${now.second_approval} onValue=${(second_approval) => set({ ...now, second_approval })} />
		<${Act} primary label=${t("Save")} disabled=${!v} act=${() => put(`/v1/products/${product}`, now)} done=${() => (set(null), reload(), reloadProducts())} /><//>`;
};

const Groups = ({ product, base }) => {
	const { data, error, reload } = useLoad(() => get(`/v1/products/${product}/groups`, { limit: 500 }), [product]);
	const [name, type] = useState("");
	return html`<${Card} title=${t("Groups")}><${Fail} error=${error} />${data && html`<${Table} caption=${t("Groups")} rows=${data.items.map((g) => ({ ...g, key: g.group }))} empty=${html`<p class="dim">${t("none")}</p>`} columns=${[
		{ name: t("Group"), cell: (g) => html`<a href=${`${base}/devices?group=${g.group}`}>${g.group}</a>` }, { name: t("Devices"), number: true, cell: (g) => count(g.devices) },
		{ name: t("Act"), cell: (g) => html`<${Act} danger label=${t("Delete")} ask=${t("The group {0} goes; its devices stay.", g.group)} act=${() => remove(`/v1/products/${product}/groups/${g.group}`)} done=${reload} />` }]} />`}
		<div class="row"><${Field} label=${t("New group")} value=${name} onValue=${type} /><${Act} label=${t("Create")} disabled=${!/^[a-z0-9_-]{1,64}$/.test(name)} act=${() => post(`/v1/products/${product}/groups`, { group: name })} done=${() => (type(""), reload())} /></div><//>`;
};

const Managers = () => {
	const { data, error, reload } = useLoad(() => get("/v1/managers", { limit: 200 }), []);
	const [v, set] = useState({ name: "", product: "*", role: "viewer" });
	return html`<${Card} wide title=${t("Managers")}><${Fail} error=${error} />${data && html`<${Table} caption=${t("Managers")} rows=${data.items.map((m) => ({ ...m, key: m.name + m.product }))} columns=${[
		{ name: t("Name"), cell: (m) => html`<b>${plain(m.name)}</b>` }, { name: t("Product"), cell: (m) => (m.product === "*" ? t("all") : m.product) }, { name: t("Role"), cell: (m) => t(m.role) }, { name: t("Since"), cell: (m) => html`<${Time} at=${m.since} />` },
		{ name: t("Act"), cell: (m) => html`<${Act} danger label=${t("Revoke")} ask=${t("{0} loses this role; open sessions end within a second.", m.name)} act=${() => remove(`/v1/managers/${encodeURIComponent(m.name)}`, { product: m.product })} done=${reload} />` }]} />`}
		<div class="row"><${Field} label=${t("Name (CN of the certificate)")} value=${v.name} onValue=${(name) => set({ ...v, name })} /><${Field} label=${t("Product, or *")} value=${v.product} onValue=${(product) => set({ ...v, product })} /><${Choice} label=${t("Role")} value=${v.role} onValue=${(role) => set({ ...v, role })} options=${roleOptions()} />
		<${Act} label=${t("Give the role")} disabled=${!v.name} act=${() => post("/v1/managers", v)} done=${reload} /></div><//>`;
};

const Tokens = () => {
	const { data, error, reload } = useLoad(() => get("/v1/tokens", { limit: 200 }), []);
	const [v, set] = useState({ name: "", product: "*", role: "viewer", days: "90" }), [made, setMade] = useState(null);
	return html`<${Card} wide title=${t("Tokens")}><${Fail} error=${error} />${data && html`<${Table} caption=${t("Tokens")} rows=${data.items.map((k) => ({ ...k, key: k.id }))} empty=${html`<p class="dim">${t("none")}</p>`} columns=${[
		{ name: t("Name"), cell: (k) => html`<b>${plain(k.name)}</b> <code>${k.id.slice(0, 8)}</code>` }, { name: t("Product"), cell: (k) => (k.product === "*" ? t("all") : k.product) }, { name: t("Role"), cell: (k) => t(k.role) }, { name: t("Expires"), cell: (k) => html`<${Time} at=${k.expires} />` },
		{ name: t("Act"), cell: (k) => k.revoked ? html`<${Chip} state="denied" label=${t("revoked")} />` : html`<${Act} danger label=${t("Revoke")} ask=${t("Whoever uses {0} is out within a second.", k.name)} act=${() => remove(`/v1/tokens/${k.id}`)} done=${reload} />` }]} />`}
		${made && html`<div class="note wait" role="status"><p><b>${t("Copy it now; it is not shown again:")}</b></p><code class="hash">${made.secret}</code></div>`}
		<div class="row"><${Field} label=${t("Name")} value=${v.name} onValue=${(name) => set({ ...v, name })} /><${Field} label=${t("Product, or *")} value=${v.product} onValue=${(product) => set({ ...v, product })} /><${Choice} label=${t("Role")} value=${v.role} onValue=${(role) => set({ ...v, role })} options=${roleOptions()} /><${Field} label=${t("Days")} type="number" min="1" value=${v.days} onValue=${(days) => set({ ...v, days })} />
		<${Act} label=${t("Create token")} disabled=${!v.name || !(Number(v.days) > 0)} act=${() => post("/v1/tokens", { ...v, days: Number(v.days) })} done=${(k) => (setMade(k), reload())} /></div><//>`;
};

const Root = () => {
	const { data, error } = useLoad(() => get("/v1/root"), []);
	if (!data) return html`<${Fail} error=${error} />`;
	let root = null;
	try {
		root = JSON.parse(textOfBase64(JSON.parse(data.envelope).payload));
	} catch {
		root = null;
	}
	if (!root) return null;
	const nameOf = (id) => (root.keys.find((k) => k.id === id) || {}).name || "";
	const role = (name, r) => r && html`<li><b>${t(name)}</b>: ${t("{0} of {1}", r.threshold, r.keys.length)} <span class="dim">${r.keys.map((k) => html`<span class="tag">${plain(nameOf(k))} ${k.slice(0, 10)}</span>`)}</span></li>`;
	return html`<${Card} wide title=${t("Keys and thresholds: root {0}", data.version)}><ul class="list">${role("root", root.root)}${role("firmware", root.firmware)}${role("development", root.development)}${role("head", root.head)}</ul>
		<h3>${t("Who may release")}</h3><${Table} caption=${t("Who may release")} rows=${root.releasers.map((r) => ({ ...r, key_: r.key, key: r.key }))} empty=${html`<p class="dim">${t("none")}</p>`} columns=${[
			{ name: t("Manager"), cell: (r) => html`<b>${plain(r.manager)}</b> <code>${r.key_.slice(0, 10)}</code>` }, { name: t("Products"), cell: (r) => r.products.join(", ") }, { name: t("Groups"), cell: (r) => r.groups.join(", ") }, { name: t("Actions"), cell: (r) => r.actions.map((a) => t(a)).join(", ") }, { name: t("Until"), cell: (r) => html`<${Time} at=${r.not_after} />` }]} />
		<p class="hint">${t("A root is changed offline and signed by its thresholds: otactl root rotate.")}</p><//>`;
};

const Audit = () => {
	const [after, setAfter] = useState(""), [verdict, setVerdict] = useState(null);
	const { data, error } = useLoad(() => get("/v1/audit", { limit: 50, after }), [after]);
	return html`<${Card} wide title=${t("Audit")} actions=${html`<${Act} label=${t("Check the chain")} act=${() => get("/v1/audit/verify")} done=${setVerdict} />`}>
		${verdict && html`<p class=${"note " + (verdict.intact ? "good" : "bad")} role="status">${verdict.intact ? t("{0} entries, the chain is whole.", count(verdict.entries)) : t("The chain breaks at entry {0}: {1}", verdict.first_bad, plain(verdict.why))} <code class="hash">${verdict.tip}</code></p>`}
		<${Fail} error=${error} />${data ? html`<${Table} caption=${t("Audit")} rows=${data.items.map((a) => ({ ...a, key: a.seq }))} columns=${[
			{ name: "#", cell: (a) => a.seq }, { name: t("Time"), cell: (a) => html`<${Time} ms=${a.time_ms} />` }, { name: t("Who"), cell: (a) => html`<b>${plain(a.who)}</b> <span class="dim">${plain(a.from)}</span>` }, { name: t("What"), cell: (a) => html`<code>${plain(a.what)}</code> ${plain(a.object)}` },
			{ name: t("Decision"), cell: (a) => html`<${Chip} state=${a.decision ? "failed" : "succeeded"} label=${a.decision ? t("refused") : t("allowed")} />` }, { name: t("Reason"), cell: (a) => plain(a.why) }]} />
		<p class="row">${after && html`<button onClick=${() => setAfter("")}>${t("Newest")}</button>`}${data.next && html`<button onClick=${() => setAfter(data.next)}>${t("Older")}</button>`}</p>` : html`<${Loading} />`}<//>`;
};

export const Settings = ({ product, base, can, me, reloadProducts }) => {
	const over = me.roles.some((r) => r.product === "*" && r.role === "admin");
	const [name, type] = useState("");
	return html`<div class="grid">${can("admin") && html`<${ProductRules} product=${product} reloadProducts=${reloadProducts} />`}
		${can("developer") && html`<${Groups} product=${product} base=${base} />`}
		${over && html`<${Card} title=${t("New product")}><${Field} label=${t("Name of the product")} value=${name} onValue=${type} hint="a-z 0-9 _ -" /><${Act} label=${t("Create product")} disabled=${!/^[a-z0-9_-]{1,64}$/.test(name)} act=${() => post("/v1/products", { name })} done=${() => (type(""), reloadProducts())} /><//>`}
		${can("admin") && html`<${Managers} /><${Tokens} />`}<${Root} />${over && html`<${Audit} />`}</div>`;
};
