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
