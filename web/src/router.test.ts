import { expect, it } from 'vitest';
import { routeOf } from './router';

it.each([
  ['/', { page: 'devices' }], ['/devices', { page: 'devices' }], ['/devices/', { page: 'devices' }],
  ['/devices/00000000-0000-0000-0000-000000000100', { page: 'device', id: '00000000-0000-0000-0000-000000000100' }],
  ['/alerts', { page: 'alerts' }], ['/alerts/7', { page: 'lost' }], ['/devices/%E0%A4%A', { page: 'lost' }],
  ['/devices/a/b', { page: 'lost' }], ['/elsewhere', { page: 'lost' }],
])('%s', (path, route) => {
  expect(routeOf(path)).toEqual(route);
});
