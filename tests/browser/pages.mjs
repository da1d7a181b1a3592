// Looks at pages (argument: JSON {url, password, pages}): one line each.
import { axe, launch, signIn, watch } from './browser.mjs';

const { url, password, pages } = JSON.parse(process.argv[2]);
const browser = await launch();
const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa',
	'best-practice'];

function say(bad, what) {
	const text = bad.length > 0 ? `not ok ${what}: ${bad.join(' | ')}`
	    : `ok ${what}`;
	console.log(text.replace(/\s+/g, ' ').slice(0, 1500));
}

async function findings(page) {
	const found = await page.evaluate(
	    (only) => window.axe.run(document, { runOnly: only,
	        iframes: false }), rules);
	return found.violations.map((v) => `${v.id} (${v.nodes.length}): ` +
	    v.nodes.slice(0, 2).map((n) => n.target.join(' ') + ' ' +
	        (n.any[0]?.message || n.all[0]?.message ||
	        n.none[0]?.message || '')).join('; '));
}

// what reaches past the right or left edge without a scrolling box of its own
function sideways() {
	const root = document.documentElement;
	return root.scrollWidth > root.clientWidth
	    ? [`${root.scrollWidth} px wide in ${root.clientWidth}`] : [];
}

const all = [...pages];
const looks = [[320, 640, 'dark'], [768, 1024, 'light'], [1440, 900, 'light'],
	[1440, 900, 'dark']];
for (const [width, height, colorScheme] of looks) {
	// the first with axe, whose script our policy would refuse
	const context = await browser.newContext({
		viewport: { width, height }, colorScheme, bypassCSP: true });
	const page = await context.newPage();
	await page.goto(url + pages[0]);
	await page.addScriptTag({ content: axe });
	say(await findings(page), `axe ${width} ${colorScheme} ${pages[0]}`);
	await signIn(page, url, 'ann@example.org', password);
	for (const subject of ['A sale', 'With a file', 'A very long']) {
		const link = await page.locator('a.go', { hasText: subject })
		    .first().getAttribute('href');
		if (!all.includes(link))
			all.push(link);
	}
	for (const path of all.slice(1)) {
		await page.goto(url + path);
		await page.addScriptTag({ content: axe });
		say([...await findings(page), ...await page.evaluate(sideways)],
		    `axe ${width} ${colorScheme} ${path}`);
	}
	await context.close();
}

for (const javaScriptEnabled of [true, false]) {
	const context = await browser.newContext({
		viewport: { width: 320, height: 640 }, javaScriptEnabled });
	const page = await context.newPage();
	const trouble = watch(page);
	await signIn(page, url, 'ann@example.org', password);
	for (const path of all.slice(1)) {
		await page.goto(url + path);
		say([...trouble.splice(0), ...await page.evaluate(sideways)],
		    `quiet ${javaScriptEnabled ? 'with' : 'without'} script ${path}`);
	}
	await context.close();
}
await browser.close();
console.log('ok the end');
