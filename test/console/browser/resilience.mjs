// What the page does when what it stands on goes away, told step by step by the test on standard
// input; and that what a hostile device says is text and nothing else.
import { createInterface } from "node:readline";
import { launch, Screen, check } from "./page.mjs";

const browser = await launch();
const screen = await Screen.open(browser);
const { page } = screen;
let dialogs = 0;
page.on("dialog", (dialog) => (dialogs++, dialog.dismiss()));
await page.locator(".live.good").waitFor();

const steps = {
	async hostile(device, text) {
		await screen.go(`device/${device}`);
		await page.locator(".evidence").first().waitFor();
		await screen.button("Show the log").first().click();
		await page.locator("pre.log").waitFor();
		check((await page.locator(".evidence").first().innerText()).includes(text), "the markup is shown as text");
		check((await page.locator("#app script, #app img[src='x']").count()) === 0, "no element came of it");
		check(dialogs === 0, "nothing ran");
		await screen.go("fleet");
	},
	async lost() {
		await page.getByText(screen.t("The console cannot be reached. What you see may be old; it goes on by itself when it is back.")).waitFor();
	},
	async away() {
		await page.getByText(screen.t("The broker or its plugin does not answer. What you see may be old; it goes on by itself when they are back.")).waitFor();
	},
	async live() {
		await page.locator(".live.good").waitFor({ timeout: 60000 });
		check((await page.locator(".banner").count()) === 0, "the banner is gone");
	},
	async quarantined(count) {
		await page.getByText(screen.t("{0} devices wait for approval", count)).waitFor();
	},
};
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
	const [step, ...rest] = line.split("\t");
	await steps[step](...rest);
	console.log(line);
}
await screen.close();
await browser.close();
console.log("ok");
