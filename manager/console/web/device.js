// One device: what it is, why it waits, everything that ever happened to it, and the evidence.
import { html, useState, useLoad, useLive, Card, Fail, Loading, Chip, Online, Time, Fact, Act, Field, Choice, Check, Size, Bar, plain, say } from "./ui.js";
import { t, count, duration } from "./text.js";
import { get, post, put, all } from "./api.js";

const ADVICE = {
	insufficient_storage: "Free the space that the message names, then retry.",
	signature_invalid: "Something between the signer and the device changed bytes. Compare digests; look into the audit.",
	signer_not_trusted: "The device's root does not know this key: check that its root is current.",
	health_check_failed: "The new version started but its health command failed: read the log, mend the firmware, release a new version.",
	no_connectivity_after_update: "The new version could not reach the broker: read its connect errors in the log, mend its network set-up, release a new version.",
	crash_loop: "The new version kept ending: read its last lines in the log, release a new version.",
	crashed_in_trial: "The new version ran for a while and then crashed: read in the log how it ended, mend it, release a new version.",
	not_responding: "The new version runs but does not answer its health check: look for what it waits for, release a new version.",
	memory_exhausted: "The new version took more memory than there is: look for a leak, release a new version.",
	storage_exhausted: "The new version filled the device's storage: delete what it left there, mend it, release a new version.",
	not_executable: "The image cannot run on this device: check what it was built for, release a new version.",
	image_truncated: "The image was cut before it was signed: look at the build, release a new version.",
	agent_killed: "The new version kept ending the agent: let it run as another user, mend it, release a new version.",
	no_network_after_update: "The new version left the device without a network: look at its network set-up and drivers, release a new version.",
	incompatible_hardware: "The manifest does not list this hardware: sign firmware for it.",
	version_not_allowed: "A lower version needs a release that allows it, and never passes the security floor.",
	tls_verify_failed: "The broker's certificate does not satisfy the device: check name, dates and CA.",
	lost: "It restarted and never came back, or went silent. If it returns it is believed.",
	slot_error: "The storage could not be written or read: look at the device's disk.",
};

// The newest attempt that failed: what it said of itself.
const failedOf = (update) => (update.attempts || []).find((a) => a.error);

const Evidence = ({ product, device, update, failed }) => {
	const [log, setLog] = useState(null), [error, setError] = useState(null);
	const e = failed.error;
	const open = async () => {
		try {
			const page = await get(`/v1/products/${product}/devices/${device}/updates/${update.release}/log`, { limit: 100 });
			const found = page.items.find((r) => r.error && r.error.log);
			setLog(found ? found.error.log : "");
		} catch (x) {
			setError(x);
		}
	};
	return html`<div class="evidence"><h3>\u2715 ${t(e.name)} <span class="dim">#${e.number}</span></h3>
		<p>${plain(e.message)}</p><dl class="facts"><${Fact} name=${t("While")}>${t(e.state)}<//>${e.detail ? html`<${Fact} name=${t("Detail")}>${e.detail}<//>` : null}<${Fact} name=${t("Attempt")}>${failed.attempt}<//></dl>
		${ADVICE[e.name] && html`<p><b>${t("What to do")}:</b> ${t(ADVICE[e.name])}</p>`}
		${log === null ? html`<button onClick=${open}>${t("Show the log")}</button>` : log ? html`<pre class="log" tabindex="0" aria-label=${t("Log")}>${plain(log)}</pre>` : html`<p class="dim">${t("The device sent no log.")}</p>`}<${Fail} error=${error} /></div>`;
};

const History = ({ product, device, updates }) => html`<ol class="timeline">${updates.map((u) => html`<li class=${"tone-" + u.state}>
	<p><b>${t("Release {0}", u.release)}</b> \u2192 <code>${plain(u.version)}</code> <${Chip} state=${u.state} /> <${Time} at=${u.since} /></p>
	${u.total > 0 && u.state === "downloading" && html`<${Bar} value=${u.done} max=${u.total} label=${t("Progress")} />`}
	<ul class="plain">${(u.attempts || []).map((a) => html`<li>${t("Attempt {0}", a.attempt)}: ${t(a.state)}, <${Time} ms=${a.first_ms} />, ${t("took {0}", duration(a.last_ms - a.first_ms))}, ${t("{0} reports", count(a.reports))}${a.error ? html` \u2013 <b class="bad-text">${t(a.error.name)}</b>` : ""}</li>`)}</ul>
	${failedOf(u) && html`<${Evidence} product=${product} device=${device} update=${u} failed=${failedOf(u)} />`}</li>`)}</ol>`;

const Actions = ({ product, base, device, d, can, reload, firmware }) => {
	const [pin, setPin] = useState(d.pin || ""), [groups, setGroups] = useState(d.groups.join(", ")), [notes, setNotes] = useState(d.notes);
	const path = `/v1/products/${product}/devices/${encodeURIComponent(device)}`;
	const set = (body) => () => put(path, body);
	if (!can("maintainer")) return null;
	const u = d.update, before = d.previous && firmware.find((f) => f.image === d.previous);
	return html`<${Card} title=${t("Act")}><div class="row actions">
		${can("developer") && d.status !== "approved" && html`<${Act} primary label=${t("Approve")} act=${set({ status: "approved" })} done=${reload} />`}
		${can("developer") && d.status === "approved" && html`<${Act} danger label=${t("Deny")} ask=${t("It gets no updates and no answers until approved again.")} act=${set({ status: "denied" })} done=${reload} />`}
		<${Act} label=${t("Ask it to look now")} disabled=${!d.online} act=${() => post(path + "/ping")} done=${reload} />
		${can("developer") && u && ["failed", "rolled_back", "rejected", "timed_out", "lost", "canceled"].includes(u.state) && html`<${Act} label=${t("Retry")} act=${() => post(path + "/retry", { release: u.release })} done=${reload} />`}
		${can("developer") && before && html`<a class="button" href=${`${base}/release/new?device=${encodeURIComponent(device)}&version=${encodeURIComponent(before.version)}&downgrade=1`} title=${t("It goes back to the version in its other slot, without a download.")}>${t("Boot the previous version")}</a>`}
		${can("developer") && html`<a class="button" href=${`${base}/release/new?device=${encodeURIComponent(device)}`}>${t("Release to it")}</a>`}</div>
		${can("developer") && html`<div class="cols"><div>
		<${Choice} label=${t("Pin to a version")} value=${pin} onValue=${setPin} hint=${t("A pinned device takes no other version until unpinned.")} options=${[["", t("not pinned")], ...firmware.map((f) => [f.version, plain(f.version)])]} />
		<${Act} label=${pin ? t("Pin") : t("Unpin")} disabled=${pin === d.pin} act=${set({ desired_version: pin || null })} done=${reload} />
		<${Check} label=${t("Development device: fleet releases pass it by")} value=${d.development} onValue=${(development) => put(path, { development }).then(reload, (e) => say(e.message))} />
		<${Check} label=${t("Updates disabled")} value=${d.updates_disabled} onValue=${(updates_disabled) => put(path, { updates_disabled }).then(reload, (e) => say(e.message))} /></div>
		<div><${Field} label=${t("Groups")} value=${groups} onValue=${setGroups} hint=${t("Names separated by commas")} /><${Act} label=${t("Save groups")} disabled=${groups === d.groups.join(", ")} act=${set({ groups: groups.split(/[\s,]+/).filter(Boolean) })} done=${reload} />
		<${Field} label=${t("Notes")}>${(id) => html`<textarea id=${id} rows="2" maxlength="1024" value=${notes} onInput=${(e) => setNotes(e.target.value)}></textarea>`}<//><${Act} label=${t("Save notes")} disabled=${notes === d.notes} act=${set({ notes })} done=${reload} /></div></div>`}<//>`;
};

export const Device = ({ product, base, can, id }) => {
	const path = `/v1/products/${product}/devices/${encodeURIComponent(id)}`;
	const { data, error, reload } = useLoad(async () => {
		const [d, why, updates, firmware] = await Promise.all([get(path), get(path + "/why"), get(path + "/updates", { limit: 50 }), all(`/v1/products/${product}/firmware`)]);
		return { d, why, updates: updates.items, firmware };
	}, [path]);
	useLive((name, event) => event.device === id, reload, 500, [path]);
	if (!data) return error ? html`<${Fail} error=${error} retry=${reload} />` : html`<${Loading} />`;
	const { d, why, updates, firmware } = data;
	const gate = (name) => html`<${Chip} state=${d.consent[name] ? "succeeded" : "held"} label=${`${t(name)}: ${d.consent[name] ? t("open") : t("closed")}`} />`;
	return html`<p class="lead"><b class="id">${plain(d.device)}</b> <${Chip} state=${d.status} /> <${Online} online=${d.online} /> ${d.development && html`<span class="tag">${t("development")}</span>`}${d.pin && html`<span class="tag">${t("pinned to {0}", plain(d.pin))}</span>`}</p>
		<${Fail} error=${error} />
		<div class="grid"><${Card} title=${t("Why")}><p class="why">${plain(why.sentence)}</p><p class="dim">${t("Rule")}: <code>${plain(why.rule)}</code></p>${why.target && html`<p>${t("Target")}: <a href=${`${base}/release/${why.target.release}`}>${t("Release {0}", why.target.release)}</a>, <b>${plain(why.target.version)}</b></p>`}
			<p class="row">${gate("download")} ${gate("install")} ${gate("restart")}</p>${d.reason && html`<p>${t("Its reason")}: ${plain(d.reason)} ${d.lease ? html`<span class="dim">${t("at the latest until")} <${Time} at=${d.lease} /></span>` : ""}</p>`}${d.window && html`<p>${t("Its window")}: ${plain(d.window)}</p>`}<//>
		<${Card} title=${t("What it is")}><dl class="facts"><${Fact} name=${t("Runs")}><b>${plain(d.version) || "\u2013"}</b><//><${Fact} name=${t("Digest")}><code class="hash">${d.digest}</code><//><${Fact} name=${t("Hardware")}>${plain(d.hardware)}<//><${Fact} name=${t("Groups")}>${d.groups.length ? d.groups.map((g) => html`<span class="tag">${g}</span>`) : t("none")}<//>
			<${Fact} name=${t("Last seen")}><${Time} at=${d.seen} /><//><${Fact} name=${t("Room for an image")}><${Size} of=${d.slot_size} /><//><${Fact} name=${t("Security version and floor")}>${d.security_version} / ${d.floor}<//><${Fact} name=${t("First seen")}><${Time} at=${d.first} /><//><${Fact} name=${t("Root")}>${d.root}<//></dl><//>
		<${Actions} key=${d.pin + d.groups + d.notes} product=${product} base=${base} device=${id} d=${d} can=${can} reload=${reload} firmware=${firmware} />
		<${Card} wide title=${t("History")}>${updates.length ? html`<${History} product=${product} device=${encodeURIComponent(id)} updates=${updates} />` : html`<p class="dim">${t("It never took part in a release.")}</p>`}<//></div>`;
};
