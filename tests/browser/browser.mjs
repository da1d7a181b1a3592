// What all browser tests share: Debian's Chromium without a screen.
import { createRequire } from 'node:module';
import fs from 'node:fs';

const require = createRequire(process.env.NPM_ROOT + '/');
const { chromium } = require('playwright-core');

export const axe = fs.readFileSync(
    process.env.NPM_ROOT + '/node_modules/axe-core/axe.min.js', 'utf8');

export function launch() {
	return chromium.launch({
		executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
		args: ['--no-sandbox', '--disable-gpu', '--disable-quic',
			'--no-first-run', '--disable-background-networking',
			'--disable-component-update', '--disable-sync',
			'--disable-dev-shm-usage'],
	});
}

// Errors of the console, violations of the policy, failed requests and calls
// to others: collected in the array returned.
export function watch(page) {
	const found = [];
	page.on('console', (m) => {
		const where = m.location().url;
		// a page that says 401, 404 or 422 is meant to
		if (m.type() === 'error' &&
		    !/status of (401|404|409|422|429)/.test(m.text()))
			found.push(`console: ${m.text()} ${where}`);
	});
	page.on('pageerror', (e) => found.push(`error: ${e.message}`));
	page.on('request', (r) => {
		if (!/^(http:\/\/127\.0\.0\.1:|data:|about:|blob:)/.test(r.url()))
			found.push(`request: ${r.url()}`);
	});
	return found;
}

export async function signIn(page, url, user, password, at = 'webmail') {
	await page.goto(`${url}/${at}/login`);
	await page.fill('#user', user);
	await page.fill('#pass', password);
	await page.click('form button.pri');
	await page.waitForURL(at === 'admin' ? '**/admin/' : '**/m/inbox');
}

export function must(good, what) {
	if (!good)
		throw new Error(what);
}

// A page for what somebody does ({script, width, height, dark}), one line a
// step; at the end of each, axe looks at the page, each time at another width
// and in the other colours.
export async function scene({ script, width, height, dark }) {
	const browser = await launch();
	const look = { viewport: { width, height },
		colorScheme: dark ? 'dark' : 'light',
		javaScriptEnabled: script, timezoneId: 'Europe/Oslo' };
	const context = await browser.newContext(look);
	const page = await context.newPage();
	page.setDefaultTimeout(20000);
	const trouble = watch(page);

	// axe needs scripts of its own in a page whose policy refuses them: the
	// same page in a second context
	const sizes = [[320, 640, 'light'], [768, 1024, 'dark'],
		[1440, 900, 'light'], [320, 640, 'dark'], [768, 1024, 'light'],
		[1440, 900, 'dark']];
	let steps = 0;
	const judge = await (await browser.newContext({ ...look,
		javaScriptEnabled: true, bypassCSP: true })).newPage();

	async function findings() {
		const [w, h, colorScheme] = sizes[steps++ % sizes.length];
		await judge.setViewportSize({ width: w, height: h });
		await judge.emulateMedia({ colorScheme });
		await judge.context().addCookies(await context.cookies());
		await judge.goto(page.url().replace(/([?&])undo=[^&]*/, '$1'));
		await judge.addScriptTag({ content: axe });
		const found = await judge.evaluate(() => window.axe.run(
		    document, { iframes: false,
		    resultTypes: ['violations'] }));
		const wide = await judge.evaluate(() =>
		    document.documentElement.scrollWidth -
		    document.documentElement.clientWidth);
		return [...found.violations.map((v) => `${v.id}: ` +
		    v.nodes[0].target.join(' ')),
		    ...(wide > 0 ? [`${wide} px too wide`] : [])]
		    .map((x) => `${x} at ${w} ${colorScheme}`);
	}

	async function step(what, run) {
		try {
			await run();
			trouble.push(...await findings());
			if (trouble.length > 0)
				throw new Error(trouble.splice(0).join(' | '));
			console.log(`ok ${what}`);
		} catch (e) {
			console.log(`not ok ${what}: ` +
			    `${e.message} at ${page.url()}`
			    .replace(/\s+/g, ' ').slice(0, 600));
		}
	}
	return { browser, context, page, look, step, must };
}
