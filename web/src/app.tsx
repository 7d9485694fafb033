/*
 * app - who is signed in decides between the sign-in page and the shell; the path decides the page in it.
 */
import { Component, useEffect, type ReactNode } from 'react';
import { Announcer } from './ui/announcer';
import { Link, Problem, Skeleton } from './ui/basics';
import { LinkState } from './ui/link_state';
import { AccountContext, useLiveState, useLoad, useSignedIn, type Account } from './hooks';
import { AlertsPage } from './pages/alerts';
import { DevicePage } from './pages/device';
import { DevicesPage } from './pages/devices';
import { LostPage } from './pages/lost';
import { LoginPage } from './pages/login';
import { routeOf, usePath } from './router';
import { api, session } from './services';

/* What others would be refused is not offered to them; the server decides all the same. */
const ADMINS = new Set(['SUPER_ADMIN', 'TENANT_ADMIN', 'SITE_ADMIN']);

/* A page that breaks must not take the header, the way out, with it. */
class Boundary extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };
  static getDerivedStateFromError() {
    return { failed: true };
  }
  override render() {
    if (!this.state.failed) return this.props.children;
    return <Problem text="This page has run into a fault of its own." retry={() => this.setState({ failed: false })} />;
  }
}

export function App() {
  const signedIn = useSignedIn();
  return (
    <>
      <Boundary>{signedIn ? <Shell /> : <LoginPage />}</Boundary>
      <Announcer />
    </>
  );
}

function Shell() {
  const path = usePath();
  const me = useLoad('me', 0, (signal) => api.me(signal));
  const route = routeOf(path);
  const { phase } = useLiveState().link;
  const stale = phase === 'waiting' || phase === 'failed';
  const user = me.data;
  const account: Account | null = user?.tenantId
    ? { ...user, tenantId: user.tenantId, mayEditDevices: ADMINS.has(user.role), mayEditRules: user.role !== 'VIEWER' } : null;

  useEffect(() => {
    const titles = { devices: 'Devices', device: 'Device', alerts: 'Alerts', lost: 'Not found' };
    document.title = `${titles[route.page]} · Gito`;
  }, [route.page]);

  return (
    <div className={stale ? 'shell stale' : 'shell'}>
      <a className="skip" href="#main">Skip to content</a>
      <header className="top">
        <Link to="/devices" className="brand"><img src="/icon.svg" alt="" width="26" height="26" />Gito</Link>
        <nav className="nav" aria-label="Main">
          <Link to="/devices" current={route.page === 'devices' || route.page === 'device'}>Devices</Link>
          <Link to="/alerts" current={route.page === 'alerts'}>Alerts</Link>
        </nav>
        <LinkState />
        <div className="account">
          <span className="account-name" title={user ? `${user.email}, ${user.role}` : undefined}>{user?.email}</span>
          <button type="button" className="button small quiet" onClick={() => void session.signOut()}>Sign out</button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {me.error && <Problem text={me.error} retry={me.reload} />}
        {!user && !me.error && <Skeleton rows={6} label="Loading your account" />}
        {user && !account && <Problem text="This account belongs to no tenant. Sign in with an account of a tenant to see its devices." />}
        {account && (
          <AccountContext.Provider value={account}>
            <Boundary key={path}>
              {route.page === 'devices' && <DevicesPage />}
              {route.page === 'device' && <DevicePage key={route.id} id={route.id} />}
              {route.page === 'alerts' && <AlertsPage />}
              {route.page === 'lost' && <LostPage />}
            </Boundary>
          </AccountContext.Provider>
        )}
      </main>
    </div>
  );
}
