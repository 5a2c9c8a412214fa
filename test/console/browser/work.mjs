// A manager's day in the browser, in the language that OTA_LANGUAGE names: approve, upload, sign,
// try, release, watch, hold, resume, look at a failure, retry, pin, abort; every screen in both
// themes and three widths. Each step is seen on the page, and the last line is "ok".
import { readFileSync } from "node:fs";
import { launch, Screen, check, patience } from "./page.mjs";

const language = process.env.OTA_LANGUAGE || "en";
const { OTA_IMAGE: image, OTA_FIRMWARE_KEY: firmwareKey, OTA_RELEASE_KEY: releaseKey, OTA_NEW_DEVICE: fresh, OTA_FAILING: failing, OTA_VERSION: version } = process.env;
const browser = await launch();
const screen = await Screen.open(browser, { language });
const { page } = screen;
const step = (text) => console.log(`${language}: ${text}`);

await page.getByRole("heading", { level: 1, name: screen.t("Fleet") }).waitFor();
await page.locator(".live.good").waitFor();
check(!page.url().includes("login"), "the token is gone from the address");
step("signed in, live");

await screen.go("devices?status=quarantined");
await page.getByLabel(screen.t("Select {0}", fresh)).check();
await screen.act("Approve");
await screen.go(`device/${fresh}`);
await page.locator(".lead").getByText(screen.t("approved")).waitFor();
step("approved a quarantined device");

await screen.go("firmware");
await screen.button("New firmware").click();
await page.getByLabel(screen.t("Image file")).setInputFiles(image);
await page.getByLabel(screen.t("Version"), { exact: true }).fill(version, { timeout: 60000 * patience });
await page.getByLabel(screen.t("Hardware it fits")).fill("board-1");
await page.getByLabel(screen.t("Key file (PEM)")).setInputFiles(firmwareKey);
await page.getByText(screen.t("Signing with {0}", firmwareKey.split("/").pop())).waitFor();
await screen.act("Sign and add");
await page.getByRole("rowheader", { name: version }).waitFor();
step("uploaded and signed firmware");

await screen.go(`release/new?version=${version}`);
await page.getByLabel(screen.t("Target"), { exact: true }).selectOption("group");
await page.getByLabel(screen.t("Mode"), { exact: true }).selectOption("fast");
await page.getByLabel(screen.t("Waves"), { exact: true }).selectOption("all");
await page.locator("summary", { hasText: screen.t("More") }).click();
await page.getByLabel(screen.t("Override: release a version that is not proven")).check();
await page.getByLabel(screen.t("Key file (PEM)")).setInputFiles(releaseKey);
await screen.act("Sign and see what it would do");
await page.getByRole("heading", { name: screen.t("What it would do") }).waitFor();
await screen.shoot("new-release");
await screen.axe("new release");
await screen.button("Release").click();
const dialog = page.locator("dialog[open]");
check(await dialog.getByRole("button", { name: screen.t("Release"), exact: true }).isDisabled(), "the version must be typed first");
await dialog.locator("input").fill(version);
await dialog.getByRole("button", { name: screen.t("Release"), exact: true }).click();
await page.waitForURL(/release\/\d+$/);
const number = page.url().split("/").pop();
step(`dry run, then released to a group as number ${number}`);

await screen.act("Hold");
await page.locator(".lead").getByText(screen.t("held")).waitFor();
await screen.act("Resume");
await page.locator(".lead").getByText(screen.t("running")).waitFor();
step("held and resumed");

await page.locator(".legend").getByText(screen.t("succeeded")).waitFor();
const landed = async () => Number(await page.locator(".legend li").first().locator("b").innerText());
await page.waitForFunction(() => Number(document.querySelector(".legend li b").textContent) > 0, undefined, { timeout: 60000 * patience });
check((await landed()) > 0, "the chart counts those that succeeded, without a reload");
await page.locator(".card").filter({ hasText: screen.t("Errors") }).locator("a.tag", { hasText: failing }).first().waitFor({ timeout: 60000 * patience });
step("watched it live");

await page.locator("a.tag", { hasText: failing }).first().click();
await page.getByRole("heading", { level: 1, name: screen.t("Device") }).waitFor();
await page.locator(".evidence").first().waitFor();
await page.getByText(screen.t("What to do")).first().waitFor();
await screen.button("Show the log").first().click();
await screen.shoot("device");
await screen.axe("device");
step("looked at the evidence of a failure");
await screen.act("Retry");
step("retried it");

await screen.go(`device/${fresh}`);
await page.getByLabel(screen.t("Pin to a version")).selectOption({ index: 1 });
await screen.act("Pin");
await page.locator(".lead .tag").first().waitFor();
step("pinned a device");

await screen.go(`release/${number}`);
await screen.shoot("release");
await screen.axe("release");
if (await screen.button("Abort").isVisible()) {
	await screen.act("Abort", { word: number });
	await page.locator(".lead").getByText(screen.t("aborted")).waitFor();
	step("aborted the release");
} else {
	const over = await page.locator(".lead .chip").innerText();
	throw new Error(`the release is over before it could be aborted: ${over}`);
}

for (const theme of ["light", "dark"]) {
	const other = await Screen.open(browser, { language, theme });
	await other.page.getByRole("heading", { level: 1 }).waitFor();
	for (const name of ["fleet", "devices", "firmware", "releases", "settings", `release/${number}`, `device/${failing}`, "release/new"]) {
		await other.go(name);
		await other.axe(name);
		await other.shoot(name.replace(/\/.*/, name.endsWith("new") ? "-new" : ""));
	}
	await other.close();
	step(`every screen, ${theme}: axe found nothing, nothing is too wide`);
}

// The private key's bytes, in any of the forms they could travel in, are in no request.
const pem = readFileSync(releaseKey, "utf8").replace(/-----[^-]+-----|\s/g, "");
const der = Buffer.from(pem, "base64"), secret = der.subarray(der.length - 32);
for (const request of screen.requests) {
	const all = Buffer.concat([Buffer.from(request.url + JSON.stringify(request.headers)), request.body || Buffer.alloc(0)]);
	for (const form of [secret, Buffer.from(secret.toString("hex")), Buffer.from(secret.toString("base64url").slice(0, 40)), Buffer.from(pem.slice(-40, -4))])
		check(!all.includes(form), `no key bytes in ${request.method} ${request.url}`);
}
step(`no key bytes in ${screen.requests.length} requests`);
await screen.close();
await browser.close();
console.log("ok");
