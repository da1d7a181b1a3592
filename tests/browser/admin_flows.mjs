// What is done on the pages by which the server is run, as its administrator
// (argument: JSON {url, password, script, width, height, dark, banned}).
import { scene, signIn } from './browser.mjs';

const job = JSON.parse(process.argv[2]);
const { url, password } = job;
const { browser, page, step, must } = await scene(job);

const at = (path) => page.goto(`${url}/admin${path}`);
const text = (selector) => page.locator(selector).first().innerText();

// with the Tab key alone, as far as it takes
async function tabTo(selector) {
	for (let i = 0; i < 150; i++) {
		await page.keyboard.press('Tab');
		if (await page.evaluate((s) =>
		    document.activeElement.matches(s), selector))
			return;
	}
	throw new Error(`Tab does not reach ${selector}`);
}

await step('sign in', () =>
    signIn(page, url, 'admin@example.org', password, 'admin'));
await step('a wrong setting says so and keeps what was typed', async () => {
	await at('/settings/alert');
	await page.fill('[name="alert.interval"]', 'sometimes');
	await page.fill('[name="alert.addresses"]', 'admin@example.org');
	await page.locator('main form button.pri').last().click();
	await page.waitForSelector('[aria-invalid=true]');
	must(await page.inputValue('[name="alert.interval"]') === 'sometimes' &&
	    await page.inputValue('[name="alert.addresses"]') ===
	    'admin@example.org', 'typed text is lost');
	await page.fill('[name="alert.interval"]', '2m');
	await page.locator('main form button.pri').last().click();
	await page.waitForURL('**flash=saved**');
	must(await page.inputValue('[name="alert.interval"]') === '120',
	    'not saved');
});
await step('a risky setting is tried, and kept by keyboard', async () => {
	await at('/settings/relay');
	await page.fill('[name="relay.addresses"]', job.banned);
	await page.locator('main form button.pri').last().click();
	await page.waitForURL('**flash=tried**');
	must((await text('.note.warn')).includes('relay.addresses'),
	    'it is not said');
	await tabTo('button[value=keep]');
	await page.keyboard.press('Enter');
	await page.waitForURL('**flash=kept**');
	must(await page.locator('button[value=keep]').count() === 0,
	    'still tried');
});
await step('or goes back', async () => {
	await page.fill('[name="relay.addresses"]', '');
	await page.locator('main form button.pri').last().click();
	await page.waitForURL('**flash=tried**');
	await at('/');
	await page.click('.todo a[href$="/protection"]');
	await page.click('button[value=undo]');
	await page.waitForURL('**flash=undone**');
	await at('/settings/relay');
	must(await page.inputValue('[name="relay.addresses"]') === job.banned,
	    'it stays changed');
});
await step('who is banned, and why', async () => {
	await at('/protection');
	await page.fill('#bip', job.banned);
	await page.locator('#bip').press('Enter');
	await page.waitForURL('**ban_ip=**');
	must((await page.locator('[aria-labelledby=bans]').innerText())
	    .includes('Is banned'), 'it is not said');
});
await step('a ban is lifted by keyboard', async () => {
	await tabTo(`button[value="${job.banned}"]`);
	await page.keyboard.press('Enter');
	await page.waitForURL('**flash=saved**');
	must(await page.locator(`button[value="${job.banned}"]`).count() === 0,
	    'still banned');
});
await step('make a certificate, with the password once more', async () => {
	await at('/certificates');
	await page.fill('#made', 'pop.example.org');
	await page.locator('#made').press('Enter');
	await page.fill('#confirm', password);
	await page.locator('#confirm').press('Enter');
	await page.waitForSelector('td:has-text("pop.example.org")');
});
await step('a certificate that is none says so', async () => {
	await page.fill('#name', 'imap.example.org');
	await page.fill('#certificate', 'not a certificate');
	await page.fill('[name=key]', 'not a key');
	await page.locator('form #confirm').first().fill(password);
	await page.locator('form:has(#certificate) button.pri').click();
	await page.waitForSelector('[role=alert]');
	must(await page.inputValue('#name') === 'imap.example.org' &&
	    await page.inputValue('[name=key]') === '', 'name lost, key shown');
});
await step('delete a certificate', async () => {
	await page.click('button[value="pop.example.org"]');
	await page.waitForURL('**flash=cert_deleted**');
	must(await page.locator('td:has-text("pop.example.org")').count() === 0,
	    'still there');
});
await step('run the checks', async () => {
	await at('/checks');
	await page.click('header.head button');
	await page.waitForSelector('.chip', { timeout: 60000 });
});
await step('stop and start a service', async () => {
	await at('/');
	await page.click('button[name=stop][value=popd]');
	await page.waitForURL('**flash=service_stopped**');
	must((await text('.todo')).includes('POP3'), 'no attention');
	await page.click('button[name=start][value=popd]');
	await page.waitForURL('**flash=service_started**');
});
await browser.close();
console.log('ok the end');
