/**
 * Bar charts of ratios, as SVG without a browser: ECharts renders to a string (its server-side rendering).
 *
 * One group of bars for each case, one bar for each candidate; what they are ratios of is the line at 1. Where there is no
 * reference, the values themselves.
 */
import { BarChart } from 'echarts/charts';
import { GridComponent, LegendComponent, MarkLineComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { CaseResult } from './result.ts';

const WIDTH = 760;
const MARGINS_HEIGHT = 120;
const BAR_HEIGHT = 16;
const GROUP_GAP_HEIGHT = 18;

/** One colour for each candidate in all charts; what is ours stands out. */
const COLOURS: Readonly<Record<string, string>> = {
  tapster: '#0b6e4f',
  veth: '#9aa5b1',
  pasta: '#d98e04',
  slirp4netns: '#7b5ea7',
};
const OTHER_COLOUR = '#5a7184';

use([BarChart, GridComponent, LegendComponent, MarkLineComponent, TitleComponent, SVGRenderer]);

/** The chart of one benchmark's cases, or undefined where there is nothing to compare. */
export function chartOf(name: string, cases: readonly CaseResult[]): string | undefined {
  const drawn = cases.filter(({ unit }) => unit !== 'times');
  const first = drawn[0];
  const shown = drawn.filter(({ reference: other, better }) => other === first?.reference && better === first?.better);
  const reference = first?.reference;
  const names = [...new Set(shown.flatMap(({ candidates }) => candidates.map((each) => each.name)))].filter(
    (each) => each !== reference,
  );
  if (shown.length === 0 || names.length === 0) return undefined;
  const height = MARGINS_HEIGHT + shown.length * (names.length * BAR_HEIGHT + GROUP_GAP_HEIGHT);
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  const better = shown[0]!.better === 'more' ? 'more is better' : 'less is better';
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    title: {
      text: `${name}: ${reference === undefined ? shown[0]!.unit : `ratio to ${reference}`} (${better})`,
      left: 12,
      top: 8,
      textStyle: { fontSize: 14, fontFamily: 'sans-serif' },
    },
    legend: { show: names.length > 1, bottom: 8, textStyle: { fontFamily: 'sans-serif' } },
    grid: { left: 190, right: 56, top: 44, bottom: names.length > 1 ? 64 : 36, outerBoundsMode: 'none' },
    xAxis: { type: 'value', min: 0, axisLabel: { fontFamily: 'sans-serif' } },
    yAxis: {
      type: 'category',
      inverse: true,
      data: shown.map((result) => result.name),
      axisLabel: { fontFamily: 'sans-serif', width: 170, overflow: 'break' },
    },
    series: names.map((candidate, index) => ({
      name: candidate,
      type: 'bar',
      barMaxWidth: BAR_HEIGHT,
      itemStyle: { color: COLOURS[candidate] ?? OTHER_COLOUR },
      label: { show: true, position: 'right', fontFamily: 'sans-serif', fontSize: 11 },
      data: shown.map((result) => barOf(result, candidate)),
      ...(index === 0 && reference !== undefined ? { markLine: REFERENCE_LINE } : {}),
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}

const REFERENCE_LINE = {
  silent: true,
  symbol: 'none',
  lineStyle: { color: '#333333', type: 'solid' },
  label: { show: false },
  data: [{ xAxis: 1 }],
} as const;

function barOf({ candidates, reference }: CaseResult, name: string): number | '-' {
  const candidate = candidates.find((each) => each.name === name);
  const value = reference === undefined ? candidate?.median : candidate?.ratios[reference];
  return value === undefined ? '-' : Number(value.toPrecision(2));
}
