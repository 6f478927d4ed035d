/**
 * What can be scrolled can be scrolled by keys: takes the focus while it is larger than its room, named as its section is.
 *
 *     <div class="scroll" use:scrolls><table>…
 */
export function scrolls(node: HTMLElement): { destroy: () => void } {
  const look = () => {
    const over = node.scrollWidth > node.clientWidth || node.scrollHeight > node.clientHeight;
    if (over === node.hasAttribute('tabindex')) return;
    if (!over) {
      node.removeAttribute('tabindex');
      return;
    }
    node.tabIndex = 0;
    const section = node.closest('[aria-labelledby]');
    if (node.tagName !== 'DIV' || !section) return;
    node.setAttribute('role', 'group');
    node.setAttribute('aria-labelledby', section.getAttribute('aria-labelledby') ?? '');
  };
  const sizes = new ResizeObserver(look);
  sizes.observe(node);
  for (const child of node.children) sizes.observe(child);
  return { destroy: () => sizes.disconnect() };
}
