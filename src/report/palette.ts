/**
 * Colours of figures and pages. The series colours are the Okabe–Ito hues, darkened until each also reads as text on
 * white (contrast ≥ 4.5), and lightened for dark pages; neighbours stay apart under the common colour-vision
 * deficiencies.
 */

export type SeriesColor = 'blue' | 'orange' | 'green' | 'purple' | 'grey';

/** In the order in which unnamed series receive them. */
export const SERIES_COLORS: readonly SeriesColor[] = ['blue', 'orange', 'green', 'purple', 'grey'];

type Role = SeriesColor | 'ink' | 'muted' | 'rule' | 'paper';

export const LIGHT: Readonly<Record<Role, string>> = {
  blue: '#0069a8',
  orange: '#b84a00',
  green: '#00795a',
  purple: '#a0427c',
  grey: '#5f6672',
  ink: '#1a1d21',
  muted: '#565d68',
  rule: '#d5d8dd',
  paper: '#ffffff',
};

export const DARK: Readonly<Record<Role, string>> = {
  blue: '#6db5ea',
  orange: '#f2935a',
  green: '#4fc6a3',
  purple: '#e59cc6',
  grey: '#a5adb9',
  ink: '#e9ebee',
  muted: '#a8afb9',
  rule: '#3a3f47',
  paper: '#15171a',
};

/** The family bundled in assets/fonts, then what a reader's system has. */
export const FONT_STACK = "Inter, 'Helvetica Neue', Arial, sans-serif";
