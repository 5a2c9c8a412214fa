// Lists of any length: first paint of Fleet and Devices, and what scrolling and filtering cost the
// browser's main thread, from its own long-task records. Prints one line of JSON.
import { launch, Screen, check, patience } from "./page.mjs";

const browser = await launch();
const screen = await Screen.open(browser);
const { page } = screen;
const limit = { paint: 1000 * patience, step: 100 * patience };
await page.locator(".figure").waitFor();

const firstPaint = async (place, ready) => {
	// From the request for the page itself until what was asked for is on it.
	await screen.go(place);
	const from = Date.now();
	await page.reload({ waitUntil: "commit" });
	await page.locator(ready).first().waitFor();
	return Date.now() - from;
};
const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
const fleet = median([await firstPaint("fleet", ".figure"), await firstPaint("fleet", ".figure"), await firstPaint("fleet", ".figure")]);
const devices = median([await firstPaint("devices", "tbody a"), await firstPaint("devices", "tbody a"), await firstPaint("devices", "tbody a")]);

await screen.go("devices");
await page.locator("tbody a").first().waitFor();
await page.evaluate(() => {
	window.tasks = [];
	new PerformanceObserver((list) => list.getEntries().forEach((e) => window.tasks.push(e.duration))).observe({ entryTypes: ["longtask"] });
});
const box = page.locator(".tall");
for (let i = 1; i <= 40; i++) {
	await box.evaluate((e, top) => (e.scrollTop = top), i * 800);
	await page.waitForTimeout(60);
}
const seen = await page.locator("tbody a").last().innerText();
check((await page.locator("tbody tr").count()) < 80, "only the rows in sight are in the page");
await page.getByLabel(screen.t("Part of an id")).fill("99");
await page.waitForTimeout(1500);
await page.getByLabel(screen.t("Connection")).selectOption("false");
await page.waitForTimeout(1500);
const tasks = await page.evaluate(() => window.tasks);
const longest = tasks.length ? Math.max(...tasks) : 0;
console.log(JSON.stringify({ fleet_ms: fleet, devices_ms: devices, scrolled_to: seen, longest_step_ms: Math.round(longest), steps_over_50_ms: tasks.length }));
check(fleet < limit.paint && devices < limit.paint, `first paint under ${limit.paint} ms`);
check(longest < limit.step, `each step under ${limit.step} ms`);
await screen.close();
await browser.close();
console.log("ok");
