import { createRoot } from 'react-dom/client';

createRoot(document.getElementById('root')!).render(<main><h1>Gito</h1></main>);
