/** The days of each month of a year as weeks from Monday: ISO dates, null where another month's day would stand. */
export function monthsOf(year: number): (string | null)[][] {
  return Array.from({ length: 12 }, (_, month) => {
    const before = (new Date(Date.UTC(year, month, 1)).getUTCDay() + 6) % 7;
    const count = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
    const days: (string | null)[] = Array.from({ length: before }, () => null);
    for (let day = 1; day <= count; day += 1) days.push(`${year}-${String(month + 1).padStart(2, '0')}-${String(day).padStart(2, '0')}`);
    return days;
  });
}
