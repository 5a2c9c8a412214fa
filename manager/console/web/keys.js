// Choosing the key that signs: a file that is read here, or one kept in this browser.
import { html, useState, useEffect, Field, Check, useRef } from "./ui.js";
import { t } from "./text.js";
import { readKey, keptKeys, keepKey, dropKey } from "./sign.js";

export const KeyChoice = ({ onKey }) => {
	const [kept, setKept] = useState([]), [key, setKey] = useState(null), [keep, setKeep] = useState(false), [error, setError] = useState("");
	const file = useRef();
	const choose = (chosen) => (setKey(chosen), onKey(chosen));
	useEffect(() => void keptKeys().then(setKept, () => setKept([])), []);
	const open = async (event) => {
		const chosen = event.target.files[0];
		setError("");
		if (!chosen) return;
		try {
			const read = await readKey(await chosen.text(), chosen.name);
			if (keep) {
				await keepKey(read);
				setKept(await keptKeys());
			}
			choose(read);
		} catch (e) {
			choose(null);
			setError(e.message === "encrypted" ? t("This key file has a passphrase: decrypt it first, or sign with otactl.") : t("This is no private key that can sign here: a PKCS#8 PEM file with an Ed25519 or P-256 key is needed."));
		} finally {
			file.current.value = "";
		}
	};
	return html`<fieldset class="keys"><legend>${t("Signing key")}</legend>
		<p class="hint">${t("The key is read in this page and never leaves it.")}</p>
		${kept.map((k) => html`<div class="row"><label><input type="radio" name="key" checked=${key && key.id === k.id} onChange=${() => choose(k)} /> ${k.name} <code>${k.id.slice(0, 12)}</code> <span class="dim">${k.algorithm}</span></label>
			<button type="button" class="link" onClick=${async () => (await dropKey(k.id), setKept(await keptKeys()), key && key.id === k.id && choose(null))}>${t("Forget")}</button></div>`)}
		<${Field} label=${t("Key file (PEM)")} error=${error}>${(id, described) => html`<input id=${id} ref=${file} type="file" accept=".pem,.key" aria-describedby=${described} onChange=${open} />`}<//>
		<${Check} label=${t("Keep it in this browser, so that it can sign but not be read out")} value=${keep} onValue=${setKeep} />
		${key && html`<p role="status">\u2713 ${t("Signing with {0}", key.name)} <code>${key.id.slice(0, 16)}</code></p>`}</fieldset>`;
};
