// What people do (argument: JSON {url, password, script}), one line a step.
import { launch, signIn, watch } from './browser.mjs';

const { url, password, script } = JSON.parse(process.argv[2]);
const browser = await launch();
const context = await browser.newContext({ javaScriptEnabled: script });
const page = await context.newPage();
page.setDefaultTimeout(20000);
const trouble = watch(page);

async function step(what, run) {
	try {
		await run();
		if (trouble.length > 0)
			throw new Error(trouble.splice(0).join(' | '));
		console.log(`ok ${what}`);
	} catch (e) {
		console.log(`not ok ${what}: ` +
		    `${e.message} at ${page.url()}`.replace(/\s+/g, ' '));
	}
}

function must(good, what) {
	if (!good)
		throw new Error(what);
}

async function has(text) {
	must((await page.content()).includes(text), `no "${text}"`);
}

await step('a wrong password says so and keeps the name', async () => {
	await page.goto(`${url}/webmail/login`);
	await page.fill('#user', 'ann@example.org');
	await page.fill('#pass', 'not this one');
	await page.click('form button.pri');
	await page.waitForSelector('[role=alert]');
	must(await page.inputValue('#user') === 'ann@example.org', 'name lost');
});
await step('sign in', () => signIn(page, url, 'ann@example.org', password));
await step('read a message', async () => {
	await page.click('a.go:has-text("Letter number 7")');
	await page.waitForSelector('.text >> text=The text of letter 7.');
	await page.goBack();
	must(await page.locator('li.new', { hasText: 'Letter number 7' })
	    .count() === 0, 'still unread after going back');
});
await step('HTML mail lies in its frame and runs nothing', async () => {
	await page.click('a.go:has-text("A sale")');
	const frame = page.frameLocator('iframe.frame').first();
	await frame.locator('text=Two for').first().waitFor();
	must(!(await page.title()).includes('ran'), 'a script ran');
	// that nothing was asked of tracker.example is watch()'s to see
});
await step('download an attachment', async () => {
	await page.goto(`${url}/webmail/m/inbox`);
	await page.click('a.go:has-text("With a file")');
	const waiting = page.waitForEvent('download');
	await page.locator('a[href*="/part/"]').first().click();
	const download = await waiting;
	must(download.suggestedFilename() === 'notes.txt', 'another name');
});
const subject = `Written ${script ? 'with' : 'without'} script`;
await step('write and send', async () => {
	await page.goto(`${url}/webmail/compose`);
	await page.fill('[name=to]', 'bob@example.org');
	await page.fill('[name=subject]', subject);
	await page.fill('[name=text]', 'Hello Bob,\n\nthis is it. <b>&amp;');
	await page.click('button[name=do][value=send]');
	await page.waitForURL((u) => u.pathname.includes('/m/'));
});
await step('it lies in Sent', async () => {
	await page.goto(`${url}/webmail/m/sent`);
	await page.waitForSelector(`a.go:has-text("${subject}")`);
});
await step('carry on after the session ended elsewhere', async () => {
	await page.goto(`${url}/webmail/compose`);
	await page.fill('[name=to]', 'bob@example.org');
	await page.fill('[name=subject]', `${subject}, late`);
	const text = 'Not lost:\n  <kept> "as it was".';
	await page.fill('[name=text]', text);
	// another window of the same browser signs out everywhere
	const other = await browser.newContext();
	const second = await other.newPage();
	await signIn(second, url, 'ann@example.org', password);
	await second.goto(`${url}/webmail/settings/sessions`);
	await second.click('button[name=all]');
	await second.waitForURL('**/login');
	await other.close();
	if (script) { // as the next attempt to save says
		await page.fill('[name=text]', text);
		await page.waitForSelector('text=You are signed out.');
	}
	await page.click('button[name=do][value=send]');
	await page.waitForSelector('#pass');
	must(await page.inputValue('#user') === 'ann@example.org', 'who was it');
	await page.fill('#pass', password);
	await page.click('form button.pri');
	await page.waitForSelector('text=Carry on');
	await page.click('form button.pri');
	await page.waitForURL((u) => u.pathname.includes('/m/'));
	await page.goto(`${url}/webmail/m/sent`);
	await page.waitForSelector(`a.go:has-text("${subject}, late")`);
});
await step('the receiver has it as it was written', async () => {
	const other = await browser.newContext({ javaScriptEnabled: script });
	const bob = await other.newPage();
	await signIn(bob, url, 'bob@example.org', password);
	// it is held back for a while, so that it can be taken back
	for (let i = 0; i < 180; i++) {
		if (await bob.locator(`a.go:has-text("${subject}, late")`).count())
			break;
		await bob.waitForTimeout(500);
		await bob.reload();
	}
	await bob.click(`a.go:has-text("${subject}, late")`);
	await bob.waitForSelector('.text >> text=<kept> "as it was".');
	await other.close();
});
await step('sessions: this one is listed', async () => {
	await page.goto(`${url}/webmail/settings/sessions`);
	await has('This one');
});
await step('by keyboard alone', async () => {
	await page.goto(`${url}/webmail/m/inbox`);
	for (let i = 0; i < 80; i++) {
		await page.keyboard.press('Tab');
		const at = script ? await page.evaluate(
		    () => document.activeElement.className) : null;
		if (at === 'go')
			break;
		if (!script && await page.locator('a.go:focus').count())
			break;
	}
	await page.keyboard.press('Enter');
	await page.waitForURL('**/c/**');
});
await step('sign out', async () => {
	await page.goto(`${url}/webmail/m/inbox`);
	await page.click('header summary');
	await page.click('form[action$="/logout"] button');
	await page.waitForURL('**/login');
	await page.goBack();
	must(!(await page.content()).includes('Letter number'),
	    'mail is shown after signing out');
});
await browser.close();
console.log('ok the end');
