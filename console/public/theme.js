// Before anything is drawn, so that nobody sees the wrong colours or waits for the wrong language.
(() => {
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem('thap-theme');
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
    const language = localStorage.getItem('thap-language');
    if (language === 'en' || language === 'vi') root.lang = language;
  } catch {
    // storage may be forbidden: the defaults stand
  }
})();
