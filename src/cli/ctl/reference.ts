/** docs/ctl.md, from the grammar. */
import type { Command } from './command.ts';
import { SECTIONS, usageOf } from './grammar.ts';
import { terms } from './syntax.ts';

const HEAD = `# Commands of tapster ctl

What \`tapster ctl\` understands. This page is written from the grammar (\`src/cli/ctl/grammar.ts\`) and checked by a test; how
\`tapster ctl\` itself is started stands in [cli.md](cli.md#tapster-ctl).

\`[...]\` can be left out, \`a|b\` is one of both, \`(...) ...\` can be repeated; capital letters stand for values. Options in brackets come in any order. Words can be
abbreviated where it is clear which is meant: \`sh int\`. Where a name can stand too, they are written in full. Quotes hold words together, and make a
name of what would be a word. With \`--json\`, anywhere on the line, a command answers with the API's JSON.

| value | is |
| --- | --- |
| \`IF\` | an interface: \`tap0\`, its sub-interface \`tap0.100\`, or our leg in a bridge, \`bvi.lan\` |
| \`BD\` | a bridge |
| \`A/M\`, \`A/P\` | an address and the length of its network's prefix: \`10.0.0.1/24\` |
| \`EXPR\` | a filter as of pcap-filter(7), to the end of the line |
`;

export function ctlReference(): string {
  return [HEAD, ...SECTIONS.map(([title, commands]) => `## ${title}\n\n${commands.map(entry).join('\n')}`)].join('\n');
}

function entry(command: Command): string {
  const rows = terms(command.syntax).map(({ label, help }) => `| \`${cell(label)}\` | ${cell(help)} |`);
  const table = rows.length < 2 ? '' : `\n| | |\n| --- | --- |\n${rows.join('\n')}\n`;
  return `### ${command.path}\n\n    ${usageOf(command)}\n\n${sentence(command.help)}\n${table}`;
}

function sentence(help: string): string {
  return `${help[0]?.toUpperCase()}${help.slice(1)}.`;
}

/** In a table. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
