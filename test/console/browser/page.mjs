// A browser on the console: signed in, watched for errors of its own, its screens checked by axe.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";

const require = createRequire(path.join(process.env.OTA_NODE_MODULES, "x.js"));
const { chromium } = require("playwright-core");
const AXE = require.resolve("axe-core/axe.min.js");

export const url = process.env.OTA_CONSOLE_URL;
export const patience = Number(process.env.OTA_TEST_PATIENCE || 1);
// The pages' own table, a module whose name says nothing of it to older Node.js.
const words = readFileSync(path.join(process.env.OTA_WEB, "it.js"), "utf8");
const WIDTHS = [360, 768, 1440];

export const launch = () =>
	chromium.launch({
		executablePath: "/usr/bin/chromium",
		args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
	});

export const check = (claim, what) => {
	if (!claim) throw new Error(`not so: ${what}`);
};

export class Screen {
	static async open(browser, { language = "en", theme = "light", token = process.env.OTA_TOKEN, product = process.env.OTA_PRODUCT, width = 1440 } = {}) {
		const screen = new Screen();
		screen.language = language;
		screen.theme = theme;
		screen.product = product;
		screen.problems = [];
		screen.requests = [];
		// What each text of the pages is in the language of this screen.
		screen.words = (await import(`data:text/javascript,${encodeURIComponent(words)}`)).italian;
		screen.context = await browser.newContext({ viewport: { width, height: 900 }, ignoreHTTPSErrors: true, locale: language });
		screen.context.setDefaultTimeout(20000 * patience);
		await screen.context.addInitScript(([lang, th]) => {
			localStorage.setItem("language", lang);
			localStorage.setItem("theme", th);
		}, [language, theme]);
		const page = (screen.page = await screen.context.newPage());
		page.on("pageerror", (error) => screen.problems.push(`error in the page: ${error.message}`));
		page.on("console", (message) => {
			// A refused request is the test's own doing; everything else is a defect.
			if (message.type() === "error" && !/Failed to load resource/.test(message.text())) screen.problems.push(`console: ${message.text()}`);
		});
		page.on("request", (request) => screen.requests.push({ url: request.url(), method: request.method(), headers: request.headers(), body: request.postDataBuffer() }));
		if (token) await page.goto(`${url}/#login=${token}&product=${product}`);
		return screen;
	}
	t(text, ...values) {
		const found = (this.language === "it" && this.words[text]) || text;
		return found.replace(/\{(\d)\}/g, (_, i) => String(values[i] ?? ""));
	}
	async go(place) {
		await this.page.goto(`${url}/#/${this.product}/${place}`);
		await this.page.locator("h1").waitFor();
		await this.settle();
	}
	async settle() {
		await this.page.waitForFunction((loading) => ![...document.querySelectorAll("[role=status]")].some((e) => e.textContent === loading), this.t("Loading\u2026"));
		await this.page.waitForTimeout(150);
	}
	button(label, ...values) {
		return this.page.getByRole("button", { name: this.t(label, ...values), exact: true });
	}
	// Presses, answers the question if one is asked, and waits for what the console then says.
	async act(label, { word } = {}) {
		await this.button(label).first().click();
		const dialog = this.page.locator("dialog[open]"), said = this.page.getByText(this.t("Done: {0}", this.t(label)));
		await dialog.or(said).first().waitFor();
		if (await dialog.isVisible()) {
			if (word) await dialog.locator("input").fill(word);
			await dialog.getByRole("button", { name: this.t(label), exact: true }).click();
		}
		await said.waitFor();
	}
	async axe(what) {
		await this.page.evaluate(() => window.axe !== undefined).then(async (there) => {
			if (there) return;
			const session = await this.context.newCDPSession(this.page);
			await session.send("Runtime.evaluate", { expression: readFileSync(AXE, "utf8") });
		});
		const result = await this.page.evaluate(() => window.axe.run());
		check(result.passes.length > 5, `axe looked at ${what}`);
		for (const violation of result.violations)
			this.problems.push(`${what}, ${this.theme}: ${violation.id} (${violation.impact}) ${violation.nodes.length}: ${violation.nodes[0].html.slice(0, 160)}`);
		return result.passes.length;
	}
	async shoot(name) {
		const directory = process.env.OTA_SCREENSHOTS;
		for (const width of WIDTHS) {
			await this.page.setViewportSize({ width, height: 900 });
			await this.page.waitForTimeout(200);
			const over = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
			if (over > 0) this.problems.push(`${name} is ${over} px wider than ${width}`);
			if (!directory) continue;
			mkdirSync(directory, { recursive: true });
			await this.page.screenshot({ path: path.join(directory, `${name}-${this.theme}-${this.language}-${width}.png`), fullPage: true });
		}
		await this.page.setViewportSize({ width: 1440, height: 900 });
	}
	async close() {
		await this.context.close();
		if (this.problems.length) throw new Error(this.problems.join("\n"));
	}
}
