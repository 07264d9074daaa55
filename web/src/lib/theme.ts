/** Colours as the device says, or as the visitor chose. */
export type Theme = 'auto' | 'light' | 'dark';

const KEY = 'theme';

/** What the visitor chose earlier on this device. */
export function savedTheme(): Theme {
  try {
    const saved = localStorage.getItem(KEY);
    return saved === 'light' || saved === 'dark' ? saved : 'auto';
  } catch {
    // Storage may be forbidden.
    return 'auto';
  }
}

/** Shows the page in these colours from now on. */
export function applyTheme(theme: Theme): void {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === 'auto') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Then it lasts as long as the page.
  }
}

/** The next choice of the button that goes round. */
export function nextTheme(theme: Theme): Theme {
  switch (theme) {
    case 'auto':
      return 'light';
    case 'light':
      return 'dark';
    case 'dark':
      return 'auto';
  }
}
