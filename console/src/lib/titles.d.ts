declare module 'virtual:titles/*' {
  /** `title` and `short` of each screen; see console/titles.ts. */
  const titles: Record<string, Record<string, string>>;
  export default titles;
}
