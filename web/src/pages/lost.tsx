import { Empty, Link } from '../ui/basics';

export function LostPage() {
  return (
    <section className="page">
      <h1>Not found</h1>
      <Empty title="There is no page at this address."><Link to="/devices">Go to the devices</Link></Empty>
    </section>
  );
}
