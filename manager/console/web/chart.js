// States of a release over time, as stacked areas. Drawn here: a charting library alone would be a
// third of all that the console may weigh.
import { html, useEffect, useRef, useState } from "./ui.js";
import { t, count, language } from "./text.js";

const LAYERS = [
	["succeeded", ["succeeded", "already_installed"], "good"],
	["in progress", ["offered", "downloading", "downloaded", "verified", "installing", "installed", "restarting", "trial"], "busy"],
	["waiting", ["targeted", "deferred"], "wait"],
	["failed", ["failed", "rolled_back", "rejected", "timed_out", "lost"], "bad"],
	["ended otherwise", ["canceled", "superseded", "removed", "expired"], "idle"],
];
const HEIGHT = 240, LEFT = 44, BOTTOM = 24, TOP = 8;

export const layersOf = (counts) => LAYERS.map(([, states]) => states.reduce((sum, s) => sum + (counts[s] || 0), 0));

// 1, 2 or 5 times a power of ten, so that about `wanted` of them fit.
const stepOf = (span, wanted) => {
	const power = 10 ** Math.floor(Math.log10(Math.max(1, span / wanted)));
	return [1, 2, 5, 10].map((f) => f * power).find((s) => span / s <= wanted) || span;
};

// The upper edge of layer i, as steps: a count holds until the next sample.
const edge = (samples, i, x, y) => {
	const points = [];
	samples.forEach((s, k) => {
		const height = y(s.layers.slice(0, i + 1).reduce((a, b) => a + b, 0));
		if (k) points.push([x(s.at), points[points.length - 1][1]]);
		points.push([x(s.at), height]);
	});
	return points;
};
const path = (points) => points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L");

export const StateChart = ({ samples }) => {
	const box = useRef(), [width, setWidth] = useState(640);
	useEffect(() => {
		const watch = new ResizeObserver(() => box.current && setWidth(Math.max(220, box.current.clientWidth)));
		watch.observe(box.current);
		return () => watch.disconnect();
	}, []);
	const last = samples[samples.length - 1], from = samples[0].at, span = Math.max(1000, last.at - from);
	const most = Math.max(1, ...samples.map((s) => s.layers.reduce((a, b) => a + b, 0)));
	const x = (at) => LEFT + ((at - from) / span) * (width - LEFT - 8);
	const y = (n) => TOP + (1 - n / most) * (HEIGHT - TOP - BOTTOM);
	const rise = stepOf(most, 5), lines = [];
	for (let n = 0; n <= most; n += rise) lines.push(n);
	const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium", ...(span > 86400000 ? { dateStyle: "short" } : {}) });
	const many = Math.max(2, Math.floor(width / 170));
	const marks = Array.from({ length: many }, (_, i) => from + (span * i) / (many - 1));
	const base = [[x(last.at), y(0)], [x(from), y(0)]];
	return html`<div class="chart" ref=${box}><svg width=${width} height=${HEIGHT} viewBox=${`0 0 ${width} ${HEIGHT}`} role="img" aria-label=${t("States over time: now {0}", LAYERS.map(([name], i) => `${count(last.layers[i])} ${t(name)}`).join(", "))}>
		${lines.map((n) => html`<g><line class="rule" x1=${LEFT} x2=${width} y1=${y(n)} y2=${y(n)} /><text x=${LEFT - 6} y=${y(n) + 4} text-anchor="end">${count(n)}</text></g>`)}
		${LAYERS.map(([, , tone], i) => {
			const top = edge(samples, i, x, y), under = i ? edge(samples, i - 1, x, y).reverse() : base;
			return html`<path class=${"area " + tone} d=${`M${path(top)}L${path(under)}Z`} />`;
		})}
		${marks.map((at, i) => html`<text x=${x(at)} y=${HEIGHT - 6} text-anchor=${i === 0 ? "start" : i === marks.length - 1 ? "end" : "middle"}>${clock.format(at)}</text>`)}</svg></div>
		<ul class="legend">${LAYERS.map(([name, , tone], i) => html`<li><span class=${"swatch " + tone} aria-hidden="true"></span>${t(name)} <b>${count(last.layers[i])}</b></li>`)}</ul>`;
};
