/*
 * rules - the alert rules of a device: listed, added, edited, switched on and off, deleted.
 *
 * A rule may also be made or changed behind this page's back, say by SQL: its alert tells.
 */
import { useState, type FormEvent } from 'react';
import { formatValue, labelOf } from '../core/format';
import { outdatesRules } from '../core/fresh';
import { OPERATORS, type AlertRule } from '../core/wire';
import { useAccount, useAction, useFreshAlerts, useLiveDevice, useLoad } from '../hooks';
import { api } from '../services';
import { announce } from './announcer';
import { Ago, Empty, Problem, Skeleton } from './basics';
import { Confirm, Dialog } from './dialog';

const METRICS = ['temperature', 'humidity', 'pressure', 'battery', 'rssi'];

interface Props { deviceId: string; tenant: string; epoch: number }

export function Rules({ deviceId, tenant, epoch }: Props) {
  const { mayEditRules: mayEdit } = useAccount();
  const rules = useLoad(deviceId, epoch, (signal) => api.rules(tenant, deviceId, signal));
  useFreshAlerts(rules, deviceId, outdatesRules);
  const [edited, setEdited] = useState<AlertRule | 'new' | null>(null);
  const [doomed, setDoomed] = useState<AlertRule | null>(null);
  const { error, run } = useAction();
  const toggle = (rule: AlertRule) => void run(async () => {
    await api.saveRule(tenant, rule.id, { ...rule, active: !rule.active });
    announce(rule.active ? 'The rule is off.' : 'The rule is on.');
    rules.reload();
  });
  const remove = async () => {
    await api.deleteRule(tenant, doomed!.id);
    setDoomed(null);
    rules.reload();
  };
  return (
    <section aria-labelledby="rules-title">
      <div className="section-head">
        <h2 id="rules-title">Alert rules</h2>
        {mayEdit && <button type="button" className="button small" onClick={() => setEdited('new')}>Add rule</button>}
      </div>
      {(rules.error ?? error) && <Problem text={rules.error ?? error ?? ''} retry={rules.reload} />}
      {!rules.data && !rules.error && <Skeleton rows={2} label="Loading alert rules" />}
      {rules.data?.length === 0 && <Empty title="No rules.">A rule fires an alert when a value crosses its threshold.</Empty>}
      {rules.data && rules.data.length > 0 && (
        <ul className="panel rules">
          {rules.data.map((rule) => <Row key={rule.id} rule={rule} mayEdit={mayEdit} toggle={() => toggle(rule)} edit={() => setEdited(rule)} remove={() => setDoomed(rule)} />)}
        </ul>
      )}
      {edited && <Edit rule={edited === 'new' ? null : edited} deviceId={deviceId} tenant={tenant} close={() => setEdited(null)} done={() => { setEdited(null); rules.reload(); }} />}
      {doomed && (
        <Confirm title="Delete this rule?" verb="Delete rule" close={() => setDoomed(null)} work={remove}>
          <p>{sentence(doomed)}. Its past alerts are removed with it.</p>
        </Confirm>
      )}
    </section>
  );
}

function sentence(rule: AlertRule): string {
  return `${labelOf(rule.metric)} ${rule.operator} ${formatValue(rule.metric, rule.threshold)}`;
}

function Row({ rule, mayEdit, toggle, edit, remove }: { rule: AlertRule; mayEdit: boolean; toggle: () => void; edit: () => void; remove: () => void }) {
  const name = sentence(rule);
  return (
    <li className={rule.active ? 'rule' : 'rule off'}>
      <input type="checkbox" role="switch" className="switch" checked={rule.active} disabled={!mayEdit} onChange={toggle} aria-label={`${name}: active`} />
      <div className="rule-body">
        <p className="rule-name">{name}</p>
        <p className="muted rule-meta">At most every {rule.cooldownMinutes} min{rule.lastFiredAt !== null && <> · fired <Ago at={rule.lastFiredAt} /></>}</p>
      </div>
      {mayEdit && <button type="button" className="button small quiet" onClick={edit} aria-label={`Edit ${name}`}>Edit</button>}
      {mayEdit && <button type="button" className="button small quiet" onClick={remove} aria-label={`Delete ${name}`}>Delete</button>}
    </li>
  );
}

interface EditProps { rule: AlertRule | null; deviceId: string; tenant: string; close: () => void; done: () => void }

function Edit({ rule, deviceId, tenant, close, done }: EditProps) {
  const known = Object.keys(useLiveDevice(deviceId)?.metrics ?? {});
  const [metric, setMetric] = useState(rule?.metric ?? known[0] ?? 'temperature');
  const [operator, setOperator] = useState(rule?.operator ?? '>');
  const [threshold, setThreshold] = useState(rule ? String(rule.threshold) : '');
  const [cooldown, setCooldown] = useState(String(rule?.cooldownMinutes ?? 5));
  const { busy, error, run } = useAction();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      const draft = { deviceId, metric: metric.trim(), operator, threshold: Number(threshold), cooldownMinutes: Number(cooldown), active: rule?.active ?? true };
      await api.saveRule(tenant, rule?.id ?? null, draft);
      announce('The rule was saved.');
      done();
    });
  };
  return (
    <Dialog title={rule ? 'Edit the rule' : 'Add a rule'} close={close}>
      <form onSubmit={submit}>
        <label className="field">Metric
          <input required pattern="[A-Za-z0-9_]+" title="Letters, digits and _" value={metric} onChange={(event) => setMetric(event.target.value)} list="rule-metrics" />
        </label>
        <datalist id="rule-metrics">{[...new Set([...METRICS, ...known])].map((name) => <option key={name} value={name} />)}</datalist>
        <div className="field-row">
          <label className="field">Condition
            <select className="select" value={operator} onChange={(event) => setOperator(event.target.value)}>
              {OPERATORS.map((each) => <option key={each} value={each}>{each}</option>)}
            </select>
          </label>
          <label className="field grow">Threshold
            <input type="number" step="any" required value={threshold} onChange={(event) => setThreshold(event.target.value)} />
          </label>
        </div>
        <label className="field">Minutes between two alerts
          <input type="number" min={1} max={1440} step={1} required value={cooldown} onChange={(event) => setCooldown(event.target.value)} />
        </label>
        {error && <p className="form-error" role="alert">{error}</p>}
        <div className="dialog-buttons">
          <button type="button" className="button" onClick={close}>Cancel</button>
          <button type="submit" className="button primary" disabled={busy}>{busy ? 'Saving…' : 'Save rule'}</button>
        </div>
      </form>
    </Dialog>
  );
}
