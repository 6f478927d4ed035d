/** What was done in the field is sent whatever screen is open. */
import { forget } from '$lib/outbox/db';
import { outbox } from '$lib/outbox/outbox.svelte';
import { session } from '$lib/session.svelte';
import { worker } from '$lib/worker.svelte';

export default function start(): () => void {
  const leave = () => forget();
  session.leaving.add(leave);
  const verify = () => session.unverified && void session.verify();
  window.addEventListener('online', verify);
  const timer = window.setInterval(verify, 15_000);
  const stop = outbox.start();
  if (worker.wanted) void worker.start();
  return () => {
    stop();
    window.clearInterval(timer);
    window.removeEventListener('online', verify);
    session.leaving.delete(leave);
  };
}
