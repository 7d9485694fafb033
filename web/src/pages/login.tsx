import { useEffect, useState, type FormEvent } from 'react';
import { useAction } from '../hooks';
import { session } from '../services';

export function LoginPage() {
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const { busy, error, run } = useAction();
  useEffect(() => {
    document.title = 'Sign in · Gito';
  }, []);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(() => session.signIn(email.trim(), password));
  };
  return (
    <main className="login">
      <form className="panel login-card" onSubmit={submit}>
        <img src="/icon.svg" alt="" width="44" height="44" />
        <h1>Sign in to Gito</h1>
        <p className="muted">Devices, live readings and alerts of your tenant.</p>
        {session.notice && !error && <p className="form-note" role="status">{session.notice}</p>}
        {error && <p className="form-error" role="alert">{error}</p>}
        <label className="field">E-mail
          <input type="email" name="email" autoComplete="username" required autoFocus value={email} onChange={(event) => setEmail(event.target.value)} />
        </label>
        <label className="field">Password
          <input type="password" name="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} />
        </label>
        <button type="submit" className="button primary wide" disabled={busy}>{busy ? 'Signing in…' : 'Sign in'}</button>
      </form>
    </main>
  );
}
