// What is done to mail (argument: JSON {url, password, script, width, height,
// dark}), one line a step; at the end of each, axe looks at the page, each time
// at another width and in the other colours.
import { scene, signIn } from './browser.mjs';

const job = JSON.parse(process.argv[2]);
const { url, password, script, width } = job;
const { browser, context, page, look, step, must } = await scene(job);
const own = `${script ? 'S' : 'N'}${width}`;

const row = (text) => page.locator('.rows li', { hasText: text });
const inbox = () => page.goto(`${url}/webmail/m/inbox`);

// the box of a row lies under its picture: a label that is tapped
async function choose(text) {
	await row(text).first().locator('label.face').click();
}

async function compose(to, subject, text) {
	await page.goto(`${url}/webmail/compose`);
	await page.fill('#rcpt', to);
	await page.fill('[name=subject]', subject);
	await page.fill('[name=text]', text);
}

await step('sign in', () => signIn(page, url, 'ann@example.org', password));
if (script)
	await step('a new user is asked for the time zone, once', async () => {
		await inbox();
		const offer = page.locator('form[data-zone]');
		if (!await offer.count()) // another run of these was asked
			return;
		await offer.locator('button.pri').click();
		await page.waitForURL('**/m/inbox');
		must(await offer.count() === 0, 'asked again');
		await page.goto(`${url}/webmail/settings/look`);
		const here = await page.evaluate(() => Intl.DateTimeFormat()
		    .resolvedOptions().timeZone);
		must(await page.inputValue('#zone') === here, 'another zone');
		await inbox();
	});
await step('the last row can be reached', async () => {
	await inbox();
	await page.click('a.go:has-text("Letter number 0")');
	await page.waitForURL('**/c/**');
});
await step('search, and take a word away', async () => {
	await inbox();
	await page.fill('#q', 'subject:letter "text of letter 5"');
	await page.press('#q', 'Enter');
	await page.waitForURL('**/search**');
	must(await row('Letter number').count() === 1, 'not one found');
	await page.locator('a:has-text("subject:letter")').first().click();
	must(await row('Letter number 5').count() === 1, 'lost by less words');
	await page.goto(`${url}/webmail/search?q=nowhere+to+be+found`);
	must(await page.locator('.rows li').count() === 0, 'something found');
});
await step('delete and undo', async () => {
	await inbox();
	await choose('Letter number 4');
	await page.locator('.bulk button[value=trash]').click();
	await page.waitForURL('**flash=trashed**');
	must(await row('Letter number 4').count() === 0, 'still there');
	await page.locator('.toast button').click();
	await page.waitForURL('**flash=undone**');
	must(await row('Letter number 4').count() === 1, 'not back');
});
await step('move to a new folder and undo', async () => {
	await choose('Letter number 5');
	await page.locator('.bulk summary').first().click();
	await page.fill('#new_name', `Kept ${own}`);
	await page.click('button[value="move:new"]');
	await page.waitForURL('**flash=moved**');
	must(await row('Letter number 5').count() === 0, 'still there');
	await page.locator('.toast button').click();
	await page.waitForURL('**flash=undone**');
	must(await row('Letter number 5').count() === 1, 'not back');
});
await step('undo sending', async () => {
	await compose('bob@example.org', `Held ${own}`, 'not yet');
	await page.click('button[name=do][value=send]');
	await page.waitForURL('**flash=sent**');
	await page.locator('.toast button').click();
	await page.waitForURL('**/d/**');
	must(await page.inputValue('[name=text]') === 'not yet\n' ||
	    await page.inputValue('[name=text]') === 'not yet', 'text lost');
	await page.goto(`${url}/webmail/m/sent`);
	must(await row(`Held ${own}`).count() === 0, 'the copy stays');
});
await step('send later, and cancel in the list', async () => {
	await compose('bob@example.org', `Later ${own}`, 'tomorrow');
	await page.locator('.send summary').click();
	await page.click('button[value="later:tomorrow"]');
	await page.waitForURL('**flash=scheduled**');
	await page.goto(`${url}/webmail/m/scheduled`);
	await row(`Later ${own}`).locator('a.go').click();
	await page.waitForSelector('form[action*="/undo-send/"]');
	await page.goto(`${url}/webmail/m/scheduled`);
	await choose(`Later ${own}`);
	await page.locator('.bulk button[value=trash]').click();
	await page.waitForURL('**flash=cancelled**');
	must(await row(`Later ${own}`).count() === 0, 'still there');
});
await step('two windows on one account', async () => {
	await inbox();
	const other = await context.newPage();
	await other.goto(`${url}/webmail/m/inbox`);
	await other.locator('.rows li', { hasText: 'Letter number 6' }).first()
	    .locator('label.face').click();
	await other.locator('.bulk button[value=archive]').click();
	await other.waitForURL('**flash=archived**');
	// the first window's list is old: what is gone does no harm
	await choose('Letter number 6');
	await page.locator('.bulk button[value=read]').click();
	await page.waitForURL('**flash=**');
	must(await row('Letter number 6').count() === 0, 'still listed');
	await other.locator('.toast button').click();
	await other.waitForURL('**flash=undone**');
	await other.close();
});
await step('one draft in two windows', async () => {
	await compose('bob@example.org', `Draft ${own}`, 'mine');
	await page.click('button.ghost[value=save]');
	await page.waitForURL((u) => u.pathname.includes('/d/'));
	const other = await context.newPage();
	await other.goto(page.url());
	await other.fill('[name=text]', 'theirs');
	await other.click('button.ghost[value=save]');
	await other.waitForLoadState();
	await page.fill('[name=text]', 'mine again');
	await page.click('button.ghost[value=save]');
	await page.waitForSelector('#theirs');
	must((await page.inputValue('#theirs')).trim() === 'theirs', 'theirs');
	must((await page.inputValue('#text')).trim() === 'mine again', 'mine');
	await other.close();
});
await step('mail that comes meanwhile', async () => {
	await inbox();
	const other = await browser.newContext(look);
	const bob = await other.newPage();
	await signIn(bob, url, 'bob@example.org', password);
	await bob.goto(`${url}/webmail/settings/writing`);
	await bob.selectOption('[name=undo]', '0');
	await bob.click('form.card button.pri');
	await bob.goto(`${url}/webmail/compose`);
	await bob.fill('#rcpt', 'ann@example.org');
	await bob.fill('[name=subject]', `News ${own}`);
	await bob.fill('[name=text]', 'x');
	await bob.click('button[name=do][value=send]');
	await bob.waitForURL('**flash=sent**');
	await other.close();
	for (let i = 0; i < 60 && !await row(`News ${own}`).count(); i++) {
		await page.waitForTimeout(250);
		await page.click('a[data-key="."]');
		await page.waitForLoadState();
	}
	must(await row(`News ${own}`).count() === 1, 'it is not shown');
});
await step('by keyboard alone: open, answer, send', async () => {
	await inbox();
	await page.locator('a.go', { hasText: `News ${own}` }).focus();
	await page.keyboard.press('Enter');
	await page.waitForURL('**/c/**');
	if (script) {
		await page.keyboard.press('r');
	} else {
		await page.locator('.acts button').first().focus();
		await page.keyboard.press('Enter');
	}
	await page.waitForURL('**/d/**');
	await page.locator('[name=text]').focus();
	await page.keyboard.type('By keys.');
	if (script) {
		await page.keyboard.press('Control+Enter');
	} else {
		await page.locator('button[value=send]').focus();
		await page.keyboard.press('Enter');
	}
	await page.waitForURL('**flash=sent**');
});
const drafts = async () => {
	await page.goto(`${url}/webmail/m/drafts`);
	return page.locator('.rows li').count();
};
await step('an answer nobody wrote leaves no draft', async () => {
	const before = await drafts();
	await inbox();
	await page.click('a.go:has-text("Letter number 3")');
	for (const verb of ['reply', 'reply-all', 'forward']) {
		await page.locator(verb === 'reply' ? '[data-key=r]'
		    : `.acts button[formaction$="/${verb}"]`).first().click();
		await page.waitForURL('**/d/**');
		await page.locator('#text').focus();
		await page.goBack();
		await page.waitForURL('**/c/**');
	}
	await page.goto(`${url}/webmail/compose`);
	await page.locator('#rcpt').focus();
	must(await drafts() === before, 'a draft was left behind');
});
await step('the short answer below a conversation', async () => {
	const before = await drafts();
	await inbox();
	await page.click('a.go:has-text("Letter number 2")');
	await page.locator('#qr').focus();
	await page.keyboard.type(`Short ${own}.`);
	if (script) {
		await page.waitForFunction(() => document
		    .querySelector('.reply [data-saved]').textContent
		    .startsWith('Saved'));
		await page.keyboard.press('Control+Enter');
	} else {
		await page.click('.reply button[value=send]');
	}
	await page.waitForURL('**/c/**flash=sent**');
	await page.waitForSelector(`.msg .text >> text=Short ${own}.`);
	must(await drafts() === before, 'its draft is there');
});
if (script)
	await step('only what is selected is quoted', async () => {
		await inbox();
		await page.click('a.go:has-text("Letter number 1")');
		await page.locator('.msg .text').last().dblclick(
		    { position: { x: 8, y: 10 } });
		const word = await page.evaluate(
		    () => String(getSelection()).trim());
		must(word.length > 1, 'nothing selected');
		await page.locator('.msg[open] [data-key=r]').last().click();
		await page.waitForSelector('#write');
		must((await page.inputValue('#text')).trim()
		    .endsWith(`wrote:\n> ${word}`), 'another quote');
		// the same out of the frame of a designed message
		await inbox();
		await page.click('a.go:has-text("A sale")');
		await page.frameLocator('iframe.frame').first().locator('b')
		    .dblclick();
		await page.locator('.msg[open] [data-key=r]').last().click();
		await page.waitForSelector('#write');
		must((await page.inputValue('#text')).trim()
		    .endsWith('wrote:\n> Sunday'), 'not out of the frame');
	});
if (script)
	await step('what is typed last is kept when one leaves', async () => {
		const before = await drafts();
		await page.goto(`${url}/webmail/compose`);
		await page.fill('#subj', `Left ${own}`);
		await inbox();
		must(await drafts() === before + 1, 'it is lost');
		must(await row(`Left ${own}`).count() === 1, 'another draft');
	});
if (script && width > 800)
	await step('the keys are told and can be turned off', async () => {
		await inbox();
		await page.keyboard.press('?');
		await page.waitForSelector('dialog.keys[open] kbd');
		await page.keyboard.press('Escape');
		await page.keyboard.press('j');
		await page.keyboard.press('x');
		must(await page.locator('.pick:checked').count() === 1, 'x');
		await page.goto(`${url}/webmail/settings/reading`);
		await page.selectOption('[name=keys]', 'no');
		await page.click('form.card button.pri');
		await inbox();
		await page.keyboard.press('j');
		await page.keyboard.press('x');
		must(await page.locator('.pick:checked').count() === 0, 'keys');
	});
await step('Arabic, right to left', async () => {
	await page.goto(`${url}/webmail/settings/look`);
	await page.selectOption('[name=lang]', 'ar');
	await page.click('form.card button.pri');
	await page.waitForSelector('html[dir=rtl]');
	await inbox();
	const left = await page.evaluate(() => document.querySelector('.face')
	    .getBoundingClientRect().left > document.querySelector('.meta')
	    .getBoundingClientRect().left);
	must(left, 'the row does not begin at the right');
	await page.goto(`${url}/webmail/settings/look`);
	await page.selectOption('[name=lang]', '');
	await page.click('form.card button.pri');
});
await step('a new password ends the other sessions', async () => {
	const other = await browser.newContext(look);
	const second = await other.newPage();
	await signIn(second, url, 'ann@example.org', password);
	await page.goto(`${url}/webmail/settings/account`);
	for (const [old, fresh] of [[password, 'copper-lantern-' + own],
		['copper-lantern-' + own, password]]) {
		await page.fill('#old', old);
		await page.fill('#pass', fresh);
		await page.fill('#pass2', fresh);
		await page.locator('#pass2').press('Enter');
		await page.waitForSelector('.note.good');
	}
	await second.goto(`${url}/webmail/m/inbox`);
	await second.waitForSelector('form[action$="/login"] #pass');
	await other.close();
});
await browser.close();
console.log('ok the end');
