// Opens pages of frames (argument: JSON {origin, modes, batches, wanted}) and
// says what ran in them, where links lead, and what the browser made of their
// HTML.  Where that many hits are wanted it waits for them.
import { launch } from './browser.mjs';

const { origin, modes, batches, wanted = 0 } = JSON.parse(process.argv[2]);
const browser = await launch();

// in the page: of each frame its number, HTML and what its links lead to
function collect() {
	return [...document.querySelectorAll('iframe')].map((frame) => {
		const inner = frame.contentDocument;
		return [inner.URL.match(/\d+$/)[0], inner.body.innerHTML,
			[...inner.querySelectorAll('a[href], area[href]')].map(
			    (a) => a.protocol)];
	});
}

const out = {};

for (const mode of modes) {
	const hits = new Set(), links = {}, html = {};
	const context = await browser.newContext();
	await context.exposeBinding('hit', ({ frame }) => {
		hits.add(frame.url());
	});
	for (let batch = 0; batch < batches; batch++) {
		const page = await context.newPage();
		page.on('dialog', (d) => { hits.add(page.url()); d.dismiss(); });
		await page.goto(`${origin}/page/${mode}/${batch}`,
		    { waitUntil: 'load', timeout: mode === 'clean' ? 60000 : 5000 }).catch(() => {});
		await page.waitForTimeout(mode === 'raw' ? 50 : 150);
		if (mode === 'clean')
			for (const [n, text, to] of await page.evaluate(collect)) {
				html[n] = text;
				links[n] = to;
			}
		if (wanted === 0)
			await page.close();
	}
	for (let i = 0; hits.size < wanted && i < 600; i++)
		await new Promise((resolve) => setTimeout(resolve, 100));
	await context.close();
	out[mode] = { hits: [...hits], links, html };
}
await browser.close();
console.log(JSON.stringify(out));
