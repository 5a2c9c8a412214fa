// Words and numbers in the reader's language. English is the key; other languages are tables.
import { italian } from "./it.js";

const tables = { en: {}, it: italian };
const chosen = localStorage.getItem("language") || ((navigator.language || "en").startsWith("it") ? "it" : "en");
export const language = tables[chosen] ? chosen : "en";
document.documentElement.lang = language;

export const setLanguage = (value) => {
	localStorage.setItem("language", value);
	location.reload();
};

// Names from the wire that read badly as they stand.
const words = {
	already_installed: "already installed", rolled_back: "rolled back", timed_out: "timed out",
	unapproved: "awaiting approval", none: "none",
};

export const t = (text, ...values) => {
	const found = tables[language][text] || words[text] || text;
	return found.replace(/\{(\d)\}/g, (_, i) => String(values[i] ?? ""));
};

const numbers = new Intl.NumberFormat(language);
export const count = (n) => numbers.format(n || 0);
const units = ["B", "KiB", "MiB", "GiB", "TiB"];
export const bytes = (n) => {
	let value = n || 0, unit = 0;
	for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
	return `${new Intl.NumberFormat(language, { maximumFractionDigits: unit && value < 100 ? 1 : 0 }).format(value)} ${units[unit]}`;
};
const clock = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
export const when = (ms) => {
	const ago = (ms - Date.now()) / 1000;
	if (Math.abs(ago) < 60) return relative.format(Math.round(ago), "second");
	if (Math.abs(ago) < 3600) return relative.format(Math.round(ago / 60), "minute");
	return clock.format(ms);
};
export const duration = (ms) => {
	const s = Math.round(ms / 1000);
	if (ms < 1000) return `${Math.round(ms)} ms`;
	if (s < 60) return `${s} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
	return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
};
export const percent = (share) => new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 2 }).format(share);

export const errorText = (error) => {
	if (error.status === 0) return t("The console cannot be reached. It will be tried again.");
	const name = error.name_ ? t(error.name_) : "";
	return [name, error.message].filter(Boolean).join(": ");
};
