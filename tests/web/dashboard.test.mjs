/*
 * A person signs in, looks at the devices, watches one, sees an alert, and nothing on the way breaks.
 *
 * BASE_URL, EMAIL, PASSWORD: a running node; without BASE_URL a mock server is started, and more is tried
 * (a restart of the server, alerts on demand). SHOTS: a folder for screenshots.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DEMO_DEVICE, EMAIL, PASSWORD, startMock } from './mock_server.mjs';

const { chromium } = createRequire(new URL('../../web/package.json', import.meta.url))('playwright-core');
const ARGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const { BASE_URL, SHOTS } = process.env;
const email = process.env.EMAIL ?? EMAIL;
const password = process.env.PASSWORD ?? PASSWORD;
const WAIT = { timeout: 15_000 };

let mock = null;
let base = BASE_URL;
let profile;
let context;
let page;
const faults = [];
/* While the server is away or refuses a token, the browser itself logs what fails. */
let trouble = false;

before(async () => {
  if (!BASE_URL) mock = await startMock({ everyMs: 300 });
  base = BASE_URL ?? mock.url;
  profile = mkdtempSync(join(tmpdir(), 'gito-web-'));
  context = await chromium.launchPersistentContext(profile, {
    executablePath: '/usr/bin/chromium', args: ARGS, viewport: { width: 1440, height: 900 }, colorScheme: 'light',
  });
  page = context.pages()[0] ?? (await context.newPage());
  page.on('console', (message) => message.type() === 'error' && !trouble && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(String(error)));
  if (SHOTS) mkdirSync(SHOTS, { recursive: true });
});

after(async () => {
  await context?.close();
  await mock?.stop();
  if (profile) rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
});

async function shot(name, fullPage = false) {
  if (SHOTS) await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage });
}

async function noSidewaysScroll(where) {
  const [scroll, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(scroll <= width, `${where} is ${scroll} px wide in a window of ${width}`);
}

async function until(holds, what) {
  const end = Date.now() + WAIT.timeout;
  while (!holds()) {
    assert.ok(Date.now() < end, `in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const phase = (name) => page.locator(`[data-phase="${name}"]`).waitFor(WAIT);
const go = (path) => page.goto(base + path);
const demoCard = () => page.locator('[data-metric="temperature"] .card-value');

test('a wrong password is answered with the reason', async () => {
  await go('/');
  await shot('login');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor(WAIT);
  assert.ok((await page.getByRole('alert').innerText()).length > 3);
  /* The browser logs each 401 by itself. */
  faults.splice(0, faults.length, ...faults.filter((text) => !text.includes('401')));
});

test('the right one leads to the devices, live', async () => {
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('link', { name: 'Demo Temperature Sensor' }).waitFor(WAIT);
  await phase('live');
  await shot('devices');
});

test('search and status filter narrow the list', async () => {
  await page.getByLabel('Search devices').fill('demo temp');
  await page.waitForFunction(() => document.querySelectorAll('.devices tbody tr').length === 1, null, WAIT);
  await page.getByLabel('Search devices').fill('no such device anywhere');
  await page.getByText('No device matches.').waitFor(WAIT);
  await page.getByLabel('Search devices').fill('');
  await page.getByRole('link', { name: 'Demo Temperature Sensor' }).waitFor(WAIT);
});

test('a new device shows its secret once, and can be deleted', async () => {
  const name = `Trial device ${Date.now()}`;
  await page.getByRole('button', { name: 'Add device' }).click();
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Type').fill('sensor');
  await shot('add-device');
  await page.getByRole('dialog').getByRole('button', { name: 'Add device' }).click();
  await page.getByText('The secret is shown this once').waitFor(WAIT);
  assert.match(await page.locator('.secret-line code').nth(1).innerText(), /^\S{32,}$/);
  await shot('secret');
  await page.getByRole('button', { name: 'I have kept it' }).click();
  await page.getByLabel('Search devices').fill(name);
  await page.getByRole('button', { name: `Delete ${name}` }).click();
  await page.getByRole('button', { name: 'Delete device' }).click();
  await page.getByText('No device matches.').waitFor(WAIT);
  await page.getByLabel('Search devices').fill('');
});

test('a device shows values as they arrive', async () => {
  await page.getByRole('link', { name: 'Demo Temperature Sensor' }).click();
  await page.getByRole('heading', { level: 1, name: 'Demo Temperature Sensor' }).waitFor(WAIT);
  await phase('live');
  await demoCard().waitFor({ timeout: 60_000 });
  const first = await demoCard().innerText();
  await page.waitForFunction((old) => document.querySelector('[data-metric="temperature"] .card-value').innerText !== old, first, { timeout: 60_000 });
  await page.locator('.chart canvas').waitFor(WAIT);
  await shot('device');
  await shot('device-full', true);
});

test('the history can be chosen', async () => {
  for (const range of ['1 h', '24 h', '7 d', '30 d']) {
    await page.getByRole('radio', { name: range, exact: true }).check();
    await page.locator('.chart canvas, .chart-panel .empty').first().waitFor(WAIT);
  }
  await shot('device-30d');
  await page.getByRole('radio', { name: 'Live', exact: true }).check();
});

test('a rule is added, switched off, edited and deleted', async () => {
  await page.getByRole('button', { name: 'Add rule' }).click();
  await page.getByLabel('Metric').fill('pressure');
  await page.getByLabel('Threshold').fill('1234.5');
  await shot('rule');
  await page.getByRole('button', { name: 'Save rule' }).click();
  const toggle = page.getByRole('switch', { name: 'Pressure > 1234.5 hPa: active' });
  await toggle.waitFor(WAIT);
  await toggle.click();
  await page.waitForFunction(() => [...document.querySelectorAll('.rule.off')].some((row) => row.innerText.includes('1234.5')), null, WAIT);
  await page.getByRole('button', { name: 'Edit Pressure > 1234.5 hPa' }).click();
  await page.getByLabel('Threshold').fill('1300');
  await page.getByRole('button', { name: 'Save rule' }).click();
  await page.getByRole('button', { name: 'Delete Pressure > 1300 hPa' }).click();
  await page.getByRole('button', { name: 'Delete rule' }).click();
  await page.locator('.rule-name', { hasText: 'Pressure > 1300 hPa' }).waitFor({ ...WAIT, state: 'detached' });
});

test('a rule made here fires, and its alert is seen at once', async () => {
  await page.getByRole('button', { name: 'Add rule' }).click();
  await page.getByLabel('Metric').fill('temperature');
  await page.getByLabel('Threshold').fill('-987');
  await page.getByRole('button', { name: 'Save rule' }).click();
  await page.waitForFunction(() => /now|^\d+ s ago/.test(document.querySelector('.alert-ago')?.innerText ?? ''), null, { timeout: 60_000 });
  await shot('fired');
  await page.getByRole('button', { name: 'Delete Temperature > -987 °C' }).click();
  await page.getByRole('button', { name: 'Delete rule' }).click();
  await page.locator('.rule-name', { hasText: '-987' }).waitFor({ ...WAIT, state: 'detached' });
});

test('an alert arrives by itself', { skip: Boolean(BASE_URL) && 'only with the mock' }, async () => {
  mock.fire(DEMO_DEVICE, 31.7);
  await page.locator('.alert-message', { hasText: '31.7' }).waitFor(WAIT);
  await page.getByRole('link', { name: 'Alerts' }).click();
  await page.locator('.alert-message', { hasText: '31.7' }).waitFor(WAIT);
  await phase('live');
  mock.fire(DEMO_DEVICE, 32.9);
  await page.locator('.alert-message', { hasText: '32.9' }).waitFor(WAIT);
  await shot('alerts');
});

test('a rule that was not made here is shown when it fires', { skip: Boolean(BASE_URL) && 'only with the mock' }, async () => {
  await go(`/devices/${DEMO_DEVICE}`);
  await page.locator('.rules').waitFor(WAIT);
  await phase('live');
  const rule = { id: randomUUID(), device_id: DEMO_DEVICE, metric: 'humidity', operator: '>', threshold: 98.5, cooldown_minutes: 5, active: true, last_fired_at: new Date().toISOString() };
  mock.state.rules.push(rule);
  mock.fire(DEMO_DEVICE, 99, rule.id);
  const row = page.locator('.rule', { hasText: 'Humidity > 98.5%' });
  await row.locator('.rule-meta', { hasText: 'fired' }).waitFor(WAIT);
  rule.last_fired_at = null;
});

test('the chart of one reading shows the minute up to it', { skip: Boolean(BASE_URL) && 'only with the mock' }, async () => {
  const device = mock.state.devices.find((each) => each.latest === null && each.name !== 'Demo Temperature Sensor');
  /* The labels of the axes are drawn, not written: what is drawn is noted. */
  await page.evaluate(() => {
    const draw = CanvasRenderingContext2D.prototype.fillText;
    window.drawn = [];
    CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
      window.drawn.push(text);
      return draw.call(this, text, ...rest);
    };
  });
  await page.getByRole('link', { name: 'Devices' }).first().click();
  await page.getByLabel('Search devices').fill(device.name);
  await page.getByRole('link', { name: device.name, exact: true }).click();
  await page.getByText('No values yet.').waitFor(WAIT);
  await phase('live');
  mock.publish(device);
  await page.locator('.chart canvas').waitFor(WAIT);
  await page.waitForFunction(() => window.drawn.filter((text) => /^\d\d:\d\d:\d\d$/.test(text)).length > 2, null, WAIT);
  await shot('one-reading');
});

test('the alerts page tells all, or says that there are none', async () => {
  await go('/alerts');
  await page.locator('.alerts, .empty').first().waitFor(WAIT);
  await phase('live');
});

test('a restart of the server is survived, and nothing stays stale', { skip: Boolean(BASE_URL) && 'only with the mock' }, async () => {
  await go(`/devices/${DEMO_DEVICE}`);
  await page.locator('.chart canvas').waitFor(WAIT);
  await page.locator('.alerts').waitFor(WAIT);
  await phase('live');
  trouble = true;
  const { port, state } = mock;
  await mock.stop();
  await phase('waiting');
  await shot('reconnecting');
  state.devices[0].name = 'Demo Sensor, renamed meanwhile';
  mock = await startMock({ port, state, everyMs: 300 });
  await phase('live');
  await page.getByRole('heading', { name: 'Demo Sensor, renamed meanwhile' }).waitFor(WAIT);
  mock.kick(1012);
  await phase('live');
  state.access.clear();
  mock.kick(1008);
  await until(() => state.access.size > 0, 'the token is refreshed');
  await phase('live');
  mock.setStatus(DEMO_DEVICE, 'offline');
  await page.locator('.device-sub .status-offline').waitFor(WAIT);
  mock.setStatus(DEMO_DEVICE, 'online');
  state.devices[0].name = 'Demo Temperature Sensor';
  await page.waitForLoadState('networkidle');
  trouble = false;
});

test('the keyboard is enough', async () => {
  await go('/devices');
  await page.getByRole('link', { name: 'Demo Temperature Sensor' }).waitFor(WAIT);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.innerText), 'Skip to content');
  await page.getByRole('button', { name: 'Add device' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Add a device' }).waitFor(WAIT);
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ ...WAIT, state: 'detached' });
  await page.getByRole('radio', { name: 'All' }).focus();
  await page.keyboard.press('ArrowRight');
  await page.waitForURL(/status=online/, WAIT);
});

test('an unknown address and an unknown device say so', async () => {
  await go('/nowhere');
  await page.getByRole('heading', { name: 'Not found' }).waitFor(WAIT);
  await go('/devices/00000000-0000-4000-8000-00000000dead');
  await page.getByRole('alert').waitFor(WAIT);
  await phase('failed');
  faults.splice(0, faults.length, ...faults.filter((text) => !text.includes('404')));
});

test('it fits on a telephone, in the dark too', async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.emulateMedia({ colorScheme: 'dark' });
  for (const [name, path, ready] of [['devices', '/devices', '.devices'], ['device', `/devices/${DEMO_DEVICE}`, '.card'], ['alerts', '/alerts', '.alerts, .empty']]) {
    await go(path);
    await page.locator(ready).first().waitFor({ timeout: 60_000 });
    await phase('live');
    await noSidewaysScroll(name);
    await shot(`narrow-${name}`, true);
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await go(`/devices/${DEMO_DEVICE}`);
  await page.locator('.chart canvas').waitFor({ timeout: 60_000 });
  await phase('live');
  await shot('dark-device');
});

test('signing out ends the session', async () => {
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in to Gito' }).waitFor(WAIT);
  await page.reload();
  await page.getByRole('heading', { name: 'Sign in to Gito' }).waitFor(WAIT);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test('the console has stayed free of errors', () => {
  assert.deepEqual(faults, []);
});
