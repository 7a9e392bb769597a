/** Figures (SVG and PNG) and self-contained HTML reports. */
export {
  type Axis,
  type BarChartOptions,
  barChart,
  type ChartOptions,
  type HistogramOptions,
  histogramChart,
  type LineChartOptions,
  lineChart,
  type Point,
  type ScatterChartOptions,
  type Series,
  scatterChart,
} from './charts.ts';
export {
  type ComparisonPage,
  type ComparisonSamples,
  comparisonReport,
  writeComparisonReport,
} from './comparison.ts';
export { type Figure, renderPng, writeFigure } from './figure.ts';
export { Html, type HtmlValue, html } from './html.ts';
export { type JudgedSample, judgedPairs } from './judged-pairs.ts';
export {
  dataTable,
  type Fact,
  figureGrid,
  preformatted,
  type Report,
  type ReportSection,
  renderReport,
  type SampleComparison,
  sampleComparisons,
  type TableColumn,
} from './page.ts';
export type { SeriesColor } from './palette.ts';
export type { ReferenceLine } from './reference-labels.ts';
export type {
  DataNumbers,
  Estimate,
  HeldOutLoss,
  HeldOutNumbers,
  HeldOutPairs,
  KlLevel,
  MeasuredKl,
  PromptDispersion,
  RowCounts,
  TrainingNumbers,
  TrainingReport,
  TrainingReportInput,
  UsedDispersion,
} from './training/contract.ts';
export {
  byPrompt,
  type DispersionEnds,
  type DispersionSubject,
  dispersionEnds,
  dispersionHistogram,
  type WeighedPrompt,
} from './training/dispersion.ts';
export { trainingReport } from './training/page.ts';
