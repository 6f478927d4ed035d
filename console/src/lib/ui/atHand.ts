/** Parts of a screen that do not fit beside each other are moved so that the chosen one is seen. */
export const atHand =
  (_chosen: string) =>
  (row: HTMLElement): void => {
    const here = row.querySelector<HTMLElement>('[aria-current], [aria-selected=true]');
    if (here && row.scrollWidth > row.clientWidth) row.scrollLeft = here.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
  };
