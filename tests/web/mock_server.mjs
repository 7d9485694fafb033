/*
 * mock_server - as much of a node as the dashboard needs: REST, live socket, static files, all in memory.
 *
 * Run alone: node tests/web/mock_server.mjs [port]. In a test: const mock = await startMock (); mock.stop ().
 * Holds: a state that is given to the next server, so that a restart is no amnesia.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const { WebSocketServer } = createRequire(new URL('../../web/package.json', import.meta.url))('ws');
const DIST = fileURLToPath(new URL('../../web/dist/', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

export const TENANT = '00000000-0000-0000-0000-000000000001';
export const DEMO_DEVICE = '00000000-0000-0000-0000-000000000100';
export const EMAIL = 'admin@gito.demo';
export const PASSWORD = 'admin123';

const NAMES = ['Cold store 1', 'Cold store 2', 'Loading dock', 'Boiler room', 'Roof weather mast', 'Server room A', 'Server room B',
  'Greenhouse north', 'Greenhouse south', 'Workshop', 'Paint line', 'Compressor hall', 'Pump station west'];

function makeDevice(id, name, type, status, secondsAgo) {
  const lastSeen = status === null ? null : new Date(Date.now() - secondsAgo * 1000).toISOString();
  return { id, tenant_id: TENANT, name, device_type: type, status: status ?? 'offline', last_seen: lastSeen, attributes: { site: 'Main plant' }, created_at: '2024-03-01T08:00:00Z', latest: null, latest_at: null };
}

export function makeState() {
  const devices = [makeDevice(DEMO_DEVICE, 'Demo Temperature Sensor', 'temperature_sensor', 'online', 1)];
  for (let i = 0; i < 44; i++) {
    const name = NAMES[i % NAMES.length] + (i < NAMES.length ? '' : `, rack ${Math.floor(i / NAMES.length) + 1}`);
    const status = i === 9 ? null : i % 7 === 3 ? 'offline' : i % 5 === 4 ? 'idle' : 'online';
    devices.push(makeDevice(randomUUID(), name, i % 4 ? 'sensor' : 'gateway', status, status === 'offline' ? 9000 + i * 4000 : i * 7));
  }
  const rules = [
    { id: randomUUID(), device_id: DEMO_DEVICE, metric: 'temperature', operator: '>', threshold: 24, cooldown_minutes: 5, active: true, last_fired_at: null },
    { id: randomUUID(), device_id: DEMO_DEVICE, metric: 'battery', operator: 'lt', threshold: 15, cooldown_minutes: 60, active: false, last_fired_at: null },
  ];
  const state = { devices, rules, events: [], access: new Set(), refresh: new Set() };
  for (let i = 30; i > 0; i--) addEvent(state, devices[i % 3], rules[0].id, 24 + i / 10, Date.now() - i * 1_700_000);
  devices.filter((device) => device.last_seen && device.status !== 'offline').forEach((device) => reading(device, Date.parse(device.last_seen)));
  return state;
}

function addEvent(state, device, ruleId, value, at) {
  const event = { id: randomUUID(), alert_rule_id: ruleId, device_id: device.id, metric_name: 'temperature', metric_value: value,
    message: `temperature ${value.toFixed(1)} > 24`, notification_sent: true, fired_at: new Date(at).toISOString() };
  state.events.unshift(event);
  return event;
}

function sample(at, phase) {
  const t = at / 1000;
  return { temperature: 21 + 2.5 * Math.sin(t / 90 + phase) + 0.2 * Math.sin(t * 1.7), humidity: 46 + 6 * Math.cos(t / 140 + phase),
    pressure: 1013.2 + Math.sin(t / 600), battery: 87, rssi: -63 + Math.round(3 * Math.sin(t / 11)) };
}

function reading(device, at) {
  const payload = { ...sample(at, device.name.length), ...(device.id === DEMO_DEVICE && { co2: 480 + Math.round(40 * Math.sin(at / 60000)) }) };
  device.latest = payload;
  device.last_seen = device.latest_at = new Date(at).toISOString();
  return { device_id: device.id, payload, timestamp: device.latest_at };
}

const problem = (status, title, detail) => ({ status, problem: { type: 'about:blank', title, status, detail, code: title.toLowerCase().replace(/ /g, '_') } });
const lost = () => problem(404, 'Not Found', 'There is no such thing.');

function paged(rows, query, fallback = 25) {
  const page = Number(query.get('page') ?? 1);
  const per = Math.min(1000, Number(query.get('per_page') ?? fallback));
  return { data: rows.slice((page - 1) * per, page * per), meta: { page, per_page: per, total: rows.length } };
}

function newTokens(state, life) {
  const access = `mock.${randomBytes(12).toString('hex')}.sig`;
  const refresh = randomBytes(16).toString('hex');
  state.access.add(access);
  state.refresh.add(refresh);
  return { data: { access_token: access, refresh_token: refresh, token_type: 'bearer', expires_in: life } };
}

function auth(state, verb, body, life) {
  if (verb === 'login') {
    return body.email === EMAIL && body.password === PASSWORD ? newTokens(state, life) : problem(401, 'Unauthorized', 'the e-mail address or the password is wrong');
  }
  if (verb === 'refresh') return state.refresh.delete(body.refresh_token) ? newTokens(state, life) : problem(401, 'Unauthorized', 'The refresh token is not known.');
  return { data: {} };
}

function series(device, from, to, step) {
  const rows = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) rows.push([at, sample(at, device.name.length)]);
  return rows;
}

/* What a bucket has beside its averages. */
function spread(values) {
  return Object.fromEntries(Object.entries(values).flatMap(([name, value]) => [[`${name}_min`, value - 1], [`${name}_max`, value + 1], [`${name}_last`, value]]));
}

function telemetry(device, verb, query) {
  const to = Date.parse(query.get('end_time') ?? '') || Date.now();
  const from = Date.parse(query.get('start_time') ?? '') || to - 900_000;
  if (verb === 'latest') return { data: device.latest && { device_id: device.id, timestamp: device.latest_at, payload: device.latest } };
  if (device.latest === null) return { data: [] };
  if (verb === 'aggregated') {
    const hours = (to - from) / 3_600_000;
    const step = (hours <= 1 ? 1 : hours <= 24 ? 60 : hours <= 168 ? 360 : 1440) * 60_000;
    return { data: series(device, from, to, step).map(([at, values]) => ({ time_bucket: new Date(at).toISOString(), ...values, ...spread(values), sample_count: 12 })) };
  }
  return { data: series(device, from, to, 2000).reverse().map(([at, values]) => ({ device_id: device.id, timestamp: new Date(at).toISOString(), ...values, payload: values })) };
}

function devices(state, method, [id, verb, sub], query, body) {
  if (!id && method === 'GET') {
    const word = (query.get('search') ?? '').toLowerCase();
    const status = query.get('status');
    return paged(state.devices.filter((device) => device.name.toLowerCase().includes(word) && (!status || device.status === status)), query);
  }
  if (!id) {
    const device = makeDevice(randomUUID(), body.name, body.device_type, null, 0);
    state.devices.unshift(device);
    return { status: 201, data: { ...device, secret: randomBytes(32).toString('hex') } };
  }
  const device = state.devices.find((each) => each.id === id);
  if (!device) return problem(404, 'Not Found', 'This tenant has no such device.');
  if (verb === 'telemetry') return telemetry(device, sub, query);
  if (verb === 'credentials') return { data: { device_id: id, secret: randomBytes(32).toString('hex') } };
  if (method === 'DELETE') state.devices.splice(state.devices.indexOf(device), 1);
  return { data: device };
}

function rules(state, method, [id], query, body) {
  const found = state.rules.find((rule) => rule.id === id);
  if (!id && method === 'GET') return { data: state.rules.filter((rule) => rule.device_id === (query.get('device_id') ?? rule.device_id)) };
  if (!id) {
    if (!(body.cooldown_minutes >= 1 && body.cooldown_minutes <= 1440)) return problem(422, 'Unprocessable', 'cooldown_minutes must be from 1 to 1440.');
    state.rules.push({ ...body, id: randomUUID(), last_fired_at: null });
    return { status: 201, data: state.rules.at(-1) };
  }
  if (!found) return lost();
  if (method === 'DELETE') state.rules.splice(state.rules.indexOf(found), 1);
  if (method === 'PUT') Object.assign(found, body);
  return { data: found };
}

function route(state, method, path, query, body, token, life) {
  const parts = path.split('/').filter(Boolean).slice(2);
  if (parts[0] === 'auth' && parts[1] !== 'me') return auth(state, parts[1], body, life);
  if (!state.access.has(token)) return problem(401, 'Unauthorized', 'The token is missing or has expired.');
  if (parts[0] === 'auth') return { data: { id: '00000000-0000-0000-0000-000000000010', email: EMAIL, role: 'TENANT_ADMIN', tenant_id: TENANT } };
  if (parts[0] !== 'tenants') return lost();
  if (parts[1] !== TENANT) return problem(403, 'Forbidden', 'This tenant is not yours.');
  const rest = parts.slice(3);
  if (parts[2] === 'devices') return devices(state, method, rest, query, body);
  if (parts[2] === 'alert-rules') return rules(state, method, rest, query, body);
  if (parts[2] === 'alert-events') return paged(state.events.filter((event) => event.device_id === (query.get('device_id') || event.device_id)), query);
  return lost();
}

function sendFile(path, response) {
  const file = join(DIST, normalize(path));
  const found = file.startsWith(DIST) && existsSync(file) && statSync(file).isFile() ? file : join(DIST, 'index.html');
  response.writeHead(200, { 'Content-Type': TYPES[extname(found)] ?? 'application/octet-stream' });
  createReadStream(found).pipe(response);
}

async function answer(state, request, response, life) {
  const url = new URL(request.url, 'http://mock');
  if (!url.pathname.startsWith('/api/')) return sendFile(url.pathname, response);
  let text = '';
  for await (const chunk of request) text += chunk;
  const token = (request.headers.authorization ?? '').replace('Bearer ', '');
  const { status = 200, problem: fault, ...rest } = route(state, request.method, url.pathname, url.searchParams, text ? JSON.parse(text) : {}, token, life);
  response.writeHead(fault ? fault.status : status, { 'Content-Type': fault ? 'application/problem+json' : 'application/json' });
  response.end(JSON.stringify(fault ?? { success: true, ...rest }));
}

/* Of the operators only > is played: the rest is the platform's business, not the dashboard's. */
function fires(rule, frame, at) {
  const rested = at - (Date.parse(rule.last_fired_at ?? '') || 0) > rule.cooldown_minutes * 60_000;
  return rule.active && rested && rule.device_id === frame.device_id && rule.operator === '>' && frame.payload[rule.metric] > rule.threshold;
}

/* One viewer: all of the tenant, or the devices it subscribed to. */
function serveSocket(state, socket, url) {
  if (!state.access.has(url.searchParams.get('token'))) return socket.close(1008, 'token');
  socket.all = url.pathname.includes('/tenants/');
  socket.devices = new Set();
  socket.on('message', (text) => {
    const frame = JSON.parse(text);
    if (frame.type === 'ping') socket.send('{"type":"pong"}');
    if (frame.type !== 'subscribe') return;
    if (!state.devices.some((device) => device.id === frame.device_id)) return socket.send('{"type":"error","data":{"message":"the tenant has no such device"}}');
    socket.devices.add(frame.device_id);
    socket.send(JSON.stringify({ type: 'subscription_confirmed', device_id: frame.device_id }));
  });
}

export async function startMock({ port = 0, state = makeState(), everyMs = 1000, life = 900 } = {}) {
  const server = createServer((request, response) => void answer(state, request, response, life));
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, raw, head) => sockets.handleUpgrade(request, raw, head, (socket) => serveSocket(state, socket, new URL(request.url, 'http://mock'))));

  const cast = (type, deviceId, data) => {
    for (const socket of sockets.clients) {
      if (socket.all) socket.send(JSON.stringify({ type, device_id: deviceId, data }));
      else if (socket.devices?.has(deviceId)) socket.send(JSON.stringify({ type, data }));
    }
  };
  const publish = (device, at = Date.now()) => {
    const frame = reading(device, at);
    cast('telemetry', device.id, frame);
    for (const rule of state.rules.filter((each) => fires(each, frame, at))) {
      rule.last_fired_at = frame.timestamp;
      fire(device.id, frame.payload[rule.metric], rule.id);
    }
  };
  const fire = (deviceId = DEMO_DEVICE, value = 26.4, ruleId = state.rules[0].id) => {
    const event = addEvent(state, state.devices.find((device) => device.id === deviceId), ruleId, value, Date.now());
    cast('alert', deviceId, { alert_rule_id: event.alert_rule_id, device_id: deviceId, metric: 'temperature', value, message: event.message, timestamp: event.fired_at });
  };
  const setStatus = (deviceId, status) => {
    const device = state.devices.find((each) => each.id === deviceId);
    Object.assign(device, { status, last_seen: new Date().toISOString() });
    cast('status', deviceId, { device_id: deviceId, status, last_seen: device.last_seen });
  };
  const timer = setInterval(() => state.devices.filter((device, i) => device.status === 'online' && (i < 8 || Math.random() < 0.1)).forEach((device) => publish(device)), everyMs);
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));

  /* code: what the viewers are told; 1006 is a death without a word. */
  const stop = (code = 1006) => {
    clearInterval(timer);
    sockets.clients.forEach((socket) => (code === 1006 ? socket.terminate() : socket.close(code)));
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, port: server.address().port, state, fire, setStatus, publish, stop, kick: (code) => sockets.clients.forEach((socket) => socket.close(code)) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const mock = await startMock({ port: Number(process.argv[2] ?? 8099) });
  setInterval(() => mock.fire(), 30_000);
  console.log(`${mock.url}  ${EMAIL} / ${PASSWORD}`);
}
