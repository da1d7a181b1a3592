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

export async function signIn(page, url, user, password) {
	await page.goto(`${url}/webmail/login`);
	await page.fill('#user', user);
	await page.fill('#pass', password);
	await page.click('form button.pri');
	await page.waitForURL('**/m/inbox');
}
