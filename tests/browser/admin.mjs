// The pages of the administration as an administrator (argument: JSON
// {origin, password, pages, shots}): what axe finds, what the policy refuses,
// and where a page is wider than a phone.  With `shots`, a folder, pictures.
import { axe, launch } from './browser.mjs';

const { origin, user, password, pages, shots } = JSON.parse(process.argv[2]);
const browser = await launch();
const out = [];
const views = [
	{ name: 'desktop-light', width: 1280, height: 900, scheme: 'light' },
	{ name: 'mobile-dark', width: 390, height: 844, scheme: 'dark' },
];

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
	await context.close();
}
await browser.close();
console.log(JSON.stringify(out));
