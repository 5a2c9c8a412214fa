// Signing in the browser: the private key is read here, used here, and never sent anywhere. What is
// kept for next time is a key that the browser will not give out again, not even to this page.
const bytesOf = (text) => new TextEncoder().encode(text);
const hexOf = (buffer) => Array.from(new Uint8Array(buffer), (b) => b.toString(16).padStart(2, "0")).join("");
export const base64Of = (buffer) => {
	let text = "";
	for (const b of new Uint8Array(buffer)) text += String.fromCharCode(b);
	return btoa(text);
};
const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
export const textOfBase64 = (text) => new TextDecoder().decode(fromBase64(text));

const ALGORITHMS = [
	{ name: "ed25519", key: { name: "Ed25519" }, sign: { name: "Ed25519" } },
	{ name: "ecdsa-p256", key: { name: "ECDSA", namedCurve: "P-256" }, sign: { name: "ECDSA", hash: "SHA-256" } },
];

const derOfPem = (pem) => {
	const match = /-----BEGIN PRIVATE KEY-----([\s\S]+?)-----END PRIVATE KEY-----/.exec(pem);
	if (!match) throw new Error(/ENCRYPTED/.test(pem) ? "encrypted" : "not_a_key");
	return fromBase64(match[1].replace(/\s+/g, ""));
};

// PEM (PKCS#8) -> {name, id, algorithm, private}: the id is the SHA-256 of the public key's SPKI.
export const readKey = async (pem, name) => {
	const der = derOfPem(pem);
	for (const algorithm of ALGORITHMS) {
		try {
			const open = await crypto.subtle.importKey("pkcs8", der, algorithm.key, true, ["sign"]);
			const jwk = await crypto.subtle.exportKey("jwk", open);
			delete jwk.d;
			jwk.key_ops = ["verify"];
			const shown = await crypto.subtle.importKey("jwk", jwk, algorithm.key, true, ["verify"]);
			const spki = await crypto.subtle.exportKey("spki", shown);
			return {
				name, algorithm: algorithm.name,
				id: hexOf(await crypto.subtle.digest("SHA-256", spki)),
				private: await crypto.subtle.importKey("pkcs8", der, algorithm.key, false, ["sign"]),
			};
		} catch {
			/* the other algorithm */
		}
	}
	throw new Error("not_a_key");
};

const store = () =>
	new Promise((done, fail) => {
		const open = indexedDB.open("ota-keys", 1);
		open.onupgradeneeded = () => open.result.createObjectStore("keys", { keyPath: "id" });
		open.onsuccess = () => done(open.result);
		open.onerror = () => fail(open.error);
	});
const withKeys = async (mode, act) => {
	const db = await store();
	return new Promise((done, fail) => {
		const transaction = db.transaction("keys", mode);
		const asked = act(transaction.objectStore("keys"));
		transaction.oncomplete = () => done(asked.result);
		transaction.onerror = () => fail(transaction.error);
	});
};
export const keepKey = (key) => withKeys("readwrite", (keys) => keys.put(key));
export const keptKeys = () => withKeys("readonly", (keys) => keys.getAll());
export const dropKey = (id) => withKeys("readwrite", (keys) => keys.delete(id));

export const TYPES = {
	firmware: "application/vnd.mosquitto-ota.firmware.v1+json",
	release: "application/vnd.mosquitto-ota.release.v1+json",
};

// A DSSE envelope over the document, as PROTOCOL.md section 5 says.
export const sign = async (type, document, key) => {
	const payload = bytesOf(JSON.stringify(document));
	const head = bytesOf(`DSSEv1 ${type.length} ${type} ${payload.length} `);
	const signed = new Uint8Array(head.length + payload.length);
	signed.set(head);
	signed.set(payload, head.length);
	const algorithm = ALGORITHMS.find((a) => a.name === key.algorithm);
	const sig = await crypto.subtle.sign(algorithm.sign, key.private, signed);
	return JSON.stringify({ payloadType: type, payload: base64Of(payload), signatures: [{ keyid: key.id, sig: base64Of(sig) }] });
};

// SHA-256 in pieces (FIPS 180-4): WebCrypto only takes a whole file at once.
const K = new Uint32Array(64);
const H0 = new Uint32Array(8);
(() => {
	const fraction = (x) => ((x - Math.floor(x)) * 4294967296) >>> 0;
	for (let n = 2, count = 0; count < 64; n++) {
		let prime = true;
		for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
		if (!prime) continue;
		if (count < 8) H0[count] = fraction(Math.sqrt(n));
		K[count++] = fraction(Math.cbrt(n));
	}
})();

export class Sha256 {
	constructor() {
		this.h = H0.slice();
		this.w = new Uint32Array(64);
		this.rest = new Uint8Array(64);
		this.used = 0;
		this.length = 0;
	}
	block(b, at) {
		const w = this.w, h = this.h;
		for (let i = 0; i < 16; i++, at += 4) w[i] = (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
		for (let i = 16; i < 64; i++) {
			const x = w[i - 15], y = w[i - 2];
			w[i] = (((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)) + w[i - 7] +
				(((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)) + w[i - 16];
		}
		let [a, c, d, e, f, g, j, k] = h;
		for (let i = 0; i < 64; i++) {
			const t = (k + (((f >>> 6) | (f << 26)) ^ ((f >>> 11) | (f << 21)) ^ ((f >>> 25) | (f << 7))) + ((f & g) ^ (~f & j)) + K[i] + w[i]) | 0;
			const u = ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) + ((a & c) ^ (a & d) ^ (c & d))) | 0;
			k = j; j = g; g = f; f = (e + t) | 0; e = d; d = c; c = a; a = (t + u) | 0;
		}
		h[0] += a; h[1] += c; h[2] += d; h[3] += e; h[4] += f; h[5] += g; h[6] += j; h[7] += k;
	}
	add(bytes) {
		let at = 0;
		this.length += bytes.length;
		if (this.used) {
			at = Math.min(64 - this.used, bytes.length);
			this.rest.set(bytes.subarray(0, at), this.used);
			this.used += at;
			if (this.used < 64) return;
			this.block(this.rest, 0);
			this.used = 0;
		}
		for (; at + 64 <= bytes.length; at += 64) this.block(bytes, at);
		this.rest.set(bytes.subarray(at));
		this.used = bytes.length - at;
	}
	hex() {
		const bits = this.length * 8, pad = new Uint8Array(((this.used < 56 ? 56 : 120) - this.used) + 8);
		pad[0] = 128;
		new DataView(pad.buffer).setUint32(pad.length - 8, Math.floor(bits / 4294967296));
		new DataView(pad.buffer).setUint32(pad.length - 4, bits >>> 0);
		this.add(pad);
		return Array.from(this.h, (x) => x.toString(16).padStart(8, "0")).join("");
	}
}

// Digest and index of a file, both made here: what gets signed is what was on this machine.
export const hashFile = async (file, segmentSize, progress) => {
	const whole = new Sha256(), count = Math.ceil(file.size / segmentSize), index = new Uint8Array(count * 32);
	for (let i = 0; i < count; i++) {
		const bytes = new Uint8Array(await file.slice(i * segmentSize, (i + 1) * segmentSize).arrayBuffer());
		whole.add(bytes);
		index.set(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), i * 32);
		if (i % 16 === 0) progress((i + 1) / count);
	}
	return { sha256: whole.hex(), index: { sha256: hexOf(await crypto.subtle.digest("SHA-256", index)), size: index.length } };
};
