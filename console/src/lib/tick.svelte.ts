/** One clock for all that says «ago»: it moves each ten seconds, and `second` each second. */
class Tick {
  us = $state(Date.now() * 1000);
  second = $state(Date.now() * 1000);

  constructor() {
    setInterval(() => {
      this.second = Date.now() * 1000;
      if (this.second - this.us >= 10_000_000) this.us = this.second;
    }, 1000);
  }
}

export const tick = new Tick();
