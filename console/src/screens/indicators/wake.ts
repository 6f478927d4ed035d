/** Keeps the screen from going dark while it is shown, where the browser lets it; gives what ends that. */
export function keepAwake(): () => void {
  let lock: WakeLockSentinel | null = null;
  let over = false;

  async function ask() {
    if (document.visibilityState !== 'visible' || !('wakeLock' in navigator)) return;
    try {
      const found = await navigator.wakeLock.request('screen');
      if (over) await found.release();
      else lock = found;
    } catch {
      // refused, as on a low battery: the screen goes by the machine's own settings
    }
  }
  const seen = () => void ask();
  document.addEventListener('visibilitychange', seen);
  void ask();
  return () => {
    over = true;
    document.removeEventListener('visibilitychange', seen);
    void lock?.release();
  };
}
