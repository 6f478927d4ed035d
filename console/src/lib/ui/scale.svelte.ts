/**
 * How much larger the text is than on a desk or a phone: 2 on a wall of 3840 pixels, or where the browser's text is
 * enlarged. What is measured in pixels, as the rows of a table, grows with it.
 */
const USUAL_PX = 16;
const read = () => Math.max(1, Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / USUAL_PX || 1);

class Scale {
  value = $state(read());

  constructor() {
    window.addEventListener('resize', () => (this.value = read()));
  }
}

export const scale = new Scale();
