// The pages of the administration as an administrator (argument: JSON
// {origin, password, pages, shots}): what axe finds, what the policy refuses,
// and where a page is wider than a phone.  With `shots`, a folder, pictures.
import { axe, launch } from './browser.mjs';

const { origin, user, password, pages, shots } = JSON.parse(process.argv[2]);
const browser = await launch();
const out = [];
const views = [
	{ name: 'desktop-light', width: 1280, height: 900, scheme: 'light' },
	{ name: 'mobile-dark', width: 320, height: 640, scheme: 'dark' },
];

// Fields too narrow to type in, and what lies beyond the edge without a
// scrolling box of its own.
function broken() {
	const main = document.querySelector('main');
	const field = 'input:not([type=checkbox], [type=hidden]), select, textarea';
	const name = (e) => `${e.tagName} ${e.name || e.className}`;
	const box = (e) => e.getBoundingClientRect();
	const narrow = [...main.querySelectorAll(field)].filter((e) =>
	    box(e).width > 0 && box(e).width < 60);
	const beyond = [...main.querySelectorAll('*')].filter((e) =>
	    box(e).right > innerWidth + 1 && !e.closest('.wide, .vh, .pop'));
	return [...narrow, ...beyond].map(name).slice(0, 4);
}

for (const view of views) {
	const context = await browser.newContext({
		viewport: { width: view.width, height: view.height },
		colorScheme: view.scheme,
	});
	const page = await context.newPage();
	page.on('console', (m) => {
		if (m.type() === 'error' && !/status of 4\d\d/.test(m.text()))
			out.push(`${view.name} ${page.url()}: ${m.text()}`);
	});
	page.on('pageerror', (e) =>
	    out.push(`${view.name} ${page.url()}: ${e.message}`));
	await page.goto(origin + '/admin/login');
	await page.fill('#user', user);
	await page.fill('#pass', password);
	await page.click('button.pri');
	await page.waitForURL(origin + '/admin/');
	for (const path of pages) {
		await page.goto(origin + '/admin' + path);
		const wide = await page.evaluate(() =>
		    document.documentElement.scrollWidth -
		    document.documentElement.clientWidth);
		if (wide > 0)
			out.push(`${view.name} ${path}: ${wide} px too wide`);
		// the sheet scrolls, not the page behind it as well
		const tall = await page.evaluate(() =>
		    document.documentElement.scrollHeight -
		    document.documentElement.clientHeight);
		if (tall > 0)
			out.push(`${view.name} ${path}: ${tall} px too tall`);
		const bad = await page.evaluate(broken);
		if (bad.length > 0)
			out.push(`${view.name} ${path}: ${bad.join(', ')}`);
		await page.evaluate(axe);
		const found = await page.evaluate(() => window.axe.run(document,
		    { resultTypes: ['violations'] }));
		for (const v of found.violations)
			out.push(`${view.name} ${path}: ${v.id} ` +
			    v.nodes.map((n) => n.target.join(' ')).join(', '));
		if (shots)
			await page.screenshot({ path: shots + '/' + view.name +
			    path.replace(/[^a-z0-9]+/g, '-') + '.png' });
	}
	// by keys alone: to the users, the first one chosen, its verbs are there
	await page.goto(origin + '/admin/');
	for (const [keys, then] of [['gu', '**/admin/users'], ['jx', ''],
	    ['jo', '**/admin/u/*']]) {
		for (const key of keys)
			await page.keyboard.press(key);
		if (then !== '')
			await page.waitForURL(origin + then.slice(2));
		else
			await page.waitForSelector('.bulk button[value=disable]');
	}
	await context.close();
}
await browser.close();
console.log(JSON.stringify(out));
