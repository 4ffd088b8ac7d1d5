/**
 * Completion scripts for bash, zsh and fish. Commands and options come from the command-line definition, so a script never lags behind; behind the options of
 * `run` and `guest` the shell completes the command as it would alone.
 */
import type { Command, Option } from 'commander';
import { GRAMMAR } from './ctl/grammar.ts';
import { RepeatableOption } from './option.ts';

export function completionScript(shell: string, program: Command): string {
  const commands = program.commands.filter((command) => isVisible(program, command));
  if (shell === 'zsh') return zsh(commands);
  if (shell === 'fish') return fish(commands);
  return bash(commands);
}

function isVisible(program: Command, command: Command): boolean {
  return program.createHelp().visibleCommands(program).includes(command);
}

const SHELLS = 'bash zsh fish';

/** What stands behind `--help` and `--version` on the top level. */
const GLOBAL_FLAGS = '--help --version';

function optionsOf(command: Command): Option[] {
  return [...command.createHelp().visibleOptions(command)];
}

function namesOf(option: Option): string[] {
  return [option.short, option.long].filter((name) => name !== undefined);
}

/** `bash` words are split at = and : by readline; options whose value is a file complete files, the others nothing. */
function bash(commands: readonly Command[]): string {
  return `# bash completion for tapster; made by "tapster completion bash"
_tapster() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} word
  COMPREPLY=()
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W "${[...commands.map((command) => command.name()), 'help'].join(' ')} ${GLOBAL_FLAGS}" -- "$current"))
    return
  fi
  case \${COMP_WORDS[1]} in
${commands.filter(startsCommand).map(bashOfStarter).join('\n')}
    completion) COMPREPLY=($(compgen -W "${SHELLS}" -- "$current")); return ;;
    doctor) COMPREPLY=($(compgen -W "--json --help" -- "$current")); return ;;
${commands.filter(isOfEngine).map(bashOfEngine).join('\n')}
    help) COMPREPLY=($(compgen -W "${commands.map((command) => command.name()).join(' ')}" -- "$current")); return ;;
    *) return ;;
  esac
}
# The options with a value, those with a file, and all of them; then the command, which is the first word that is neither an option nor the value of one.
_tapster_starter() {
  local valued=$1 files=$2 options=$3 i=2
  while (( i < COMP_CWORD )); do
    word=\${COMP_WORDS[i]}
    case $word in
      --) (( i++ )); break ;;
      -*)
        if [[ " $valued " == *" $word "* ]]; then
          (( i++ ))
          # readline makes --mtu=1500 three words.
          [[ \${COMP_WORDS[i]} == = ]] && (( i++ ))
        elif [[ \${COMP_WORDS[i+1]} == = ]]; then
          (( i += 2 ))
        fi ;;
      *) break ;;
    esac
    (( i++ ))
  done
  if (( i < COMP_CWORD )) || [[ \${COMP_WORDS[i-1]} == -- && $i -eq $COMP_CWORD ]]; then
    _tapster_command "$i" "$current"
    return
  fi
  [[ $previous == = ]] && previous=\${COMP_WORDS[COMP_CWORD-2]}
  if [[ " $files " == *" $previous "* ]]; then
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$current"))
  elif [[ " $valued " == *" $previous "* ]]; then
    return
  elif [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  else
    _tapster_command "$COMP_CWORD" "$current"
  fi
}
_tapster_command() {
  if declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  elif declare -F _comp_command_offset >/dev/null; then
    _comp_command_offset "$1"
  elif (( $1 == COMP_CWORD )); then
    COMPREPLY=($(compgen -c -- "$2"))
  else
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$2"))
  fi
}
complete -F _tapster tapster
`;
}

/** `run` and `guest` take options, then a command with arguments of its own. */
function startsCommand(command: Command): boolean {
  return command.registeredArguments.some((argument) => argument.name() === 'command');
}

function bashOfStarter(command: Command): string {
  const options = optionsOf(command);
  const valued = options.filter((option) => option.required);
  const lists = [valued, valued.filter(takesFile), options].map((list) => `'${list.flatMap(namesOf).join(' ')}'`);
  return `    ${command.name()}) _tapster_starter ${lists.join(' ')}; return ;;`;
}

/** `up`, `ctl`, `apply` and `down` take options, then files; words of `ctl` are completed by `ctl` itself. */
const ENGINE_COMMANDS: readonly string[] = ['up', 'ctl', 'apply', 'down'];

function isOfEngine(command: Command): boolean {
  return ENGINE_COMMANDS.includes(command.name());
}

function takesFiles(command: Command): boolean {
  return command.registeredArguments.some((argument) => argument.name() === 'file');
}

function bashOfEngine(command: Command): string {
  const options = optionsOf(command);
  const names = (list: readonly Option[]): string => list.flatMap(namesOf).join('|');
  const files = names(options.filter(takesFile));
  const others = options.filter((option) => option.required && !takesFile(option));
  const choices = others.filter((option) => option.argChoices !== undefined);
  const plain = others.filter((option) => option.argChoices === undefined);
  const words = command.name() === 'ctl' ? `COMPREPLY=($(compgen -W "${ctlWords()}" -- "$current"))` : ':';
  return `    ${command.name()})
      [[ $previous == = ]] && previous=\${COMP_WORDS[COMP_CWORD-2]}
      case $previous in
        ${files}) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current")); return ;;
${choices.map((option) => `        ${names([option])}) COMPREPLY=($(compgen -W "${option.argChoices?.join(' ')}" -- "$current")); return ;;\n`).join('')}        ${names(plain)}) return ;;
      esac
      if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "${options.flatMap(namesOf).join(' ')}" -- "$current"))
      else
        ${takesFiles(command) ? 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current"))' : words}
      fi
      return ;;`;
}

/** The words that commands of `ctl` begin with. */
function ctlWords(): string {
  return [...new Set(GRAMMAR.patterns.map(({ path }) => path.split(' ')[0]))].join(' ');
}

function zsh(commands: readonly Command[]): string {
  const described = commands.map((command) => `    ${quote(`${command.name()}:${command.summary()}`)}`).join('\n');
  return `#compdef tapster
# zsh completion for tapster; made by "tapster completion zsh"
_tapster() {
  # Not "commands": that is the table of the shell, by which commands are completed.
  local -a subcommands
  subcommands=(
${described}
  )
  if (( CURRENT == 2 )); then
    _describe -t commands 'tapster command' subcommands
    _arguments '--help[show help]' '--version[show the version]'
    return
  fi
  case $words[2] in
${commands.filter(startsCommand).map(zshOfStarter).join('\n')}
    completion) _values 'shell' ${SHELLS} ;;
    doctor) _arguments '--json[print JSON]' '--help[show help]' ;;
${commands.filter(isOfEngine).map(zshOfEngine).join('\n')}
    help) _describe -t commands 'tapster command' subcommands ;;
  esac
}
if [[ $funcstack[1] == _tapster ]]; then
  _tapster "$@"
else
  compdef _tapster tapster
fi
`;
}

function zshOfStarter(command: Command): string {
  const specs = optionsOf(command).map((option) => `        ${zshSpec(option)} \\`);
  return `    ${command.name()})
      shift words
      (( CURRENT-- ))
      _arguments -S -A '-*' \\
${specs.join('\n')}
        '(-):command: _command_names -e' '*:: :_normal'
      ;;`;
}

function zshOfEngine(command: Command): string {
  const specs = optionsOf(command).map((option) => `        ${zshSpec(option)} \\`);
  const rest = takesFiles(command) ? `'::file:_files'` : command.name() === 'ctl' ? `'*:word:(${ctlWords()})'` : `'::'`;
  return `    ${command.name()})
      shift words
      (( CURRENT-- ))
      _arguments -S \\
${specs.join('\n')}
        ${command.name() === 'down' ? '' : rest}
      ;;`;
}

/** \`'(-v --verbose)'{-v,--verbose}'[log each flow]'\`; see _arguments in zshcompsys(1). */
function zshSpec(option: Option): string {
  const names = namesOf(option);
  const text = option.description.replace(/[[\]:]/g, '\\$&');
  const choices = option.argChoices === undefined ? ' ' : `(${option.argChoices.join(' ')})`;
  const action = takesFile(option) ? '_files' : choices;
  const value = option.required ? `:${valueName(option)}:${action}` : '';
  const assigned = (name: string): string => (option.required && name.startsWith('--') ? `${name}=` : name);
  const repeats = option instanceof RepeatableOption;
  const rest = quote(`[${text}]${value}`);
  if (names.length === 1) return `${repeats ? quote('*') : ''}${assigned(names[0] as string)}${rest}`;
  return `${quote(repeats ? '*' : `(${names.join(' ')})`)}{${names.map(assigned).join(',')}}${rest}`;
}

function fish(commands: readonly Command[]): string {
  const starters = commands.filter(startsCommand);
  const top = commands.map(
    (command) => `complete -c tapster -n __fish_use_subcommand -a ${command.name()} -d ${quote(command.summary())}`,
  );
  return `# fish completion for tapster; made by "tapster completion fish"
complete -c tapster -f
${top.join('\n')}
complete -c tapster -n __fish_use_subcommand -l help -d 'show help'
complete -c tapster -n __fish_use_subcommand -l version -d 'show the version'
complete -c tapster -n '__fish_seen_subcommand_from completion' -a '${SHELLS}'
complete -c tapster -n '__fish_seen_subcommand_from doctor' -l json -d 'print JSON'

# The words of the command that is started, none while options of "run" or "guest" are being typed.
function __tapster_inner
  set -l words (commandline -opc)
  test (count $words) -ge 2; or return 1
  switch $words[2]
${starters.map(fishOfValued).join('\n')}
    case '*'
      return 1
  end
  set -l i 3
  while test $i -le (count $words)
    switch $words[$i]
      case --
        set i (math $i + 1)
        break
      case '-*'
        contains -- $words[$i] $valued; and set i (math $i + 1)
      case '*'
        break
    end
    set i (math $i + 1)
  end
  test $i -le (count $words); and printf '%s\\n' $words[$i..-1]
  return 0
end
function __tapster_in_options
  set -l words (commandline -opc)
  test (count $words) -ge 2; and test "$words[2]" = $argv[1]; or return 1
  contains -- -- $words; and return 1
  set -l inner (__tapster_inner)
  test (count $inner) -eq 0
end
function __tapster_complete_inner
  set -l inner (__tapster_inner)
  complete --do-complete=(string join ' ' -- (string escape -- $inner) (commandline -ct))
end
${starters.flatMap(fishOfStarter).join('\n')}
${commands.filter(isOfEngine).flatMap(fishOfEngine).join('\n')}
${starters.map((command) => `complete -c tapster -n '__fish_seen_subcommand_from ${command.name()}' -a '(__tapster_complete_inner)'`).join('\n')}
`;
}

function fishOfValued(command: Command): string {
  const valued = optionsOf(command).filter((option) => option.required);
  return `    case ${command.name()}\n      set -f valued ${valued.flatMap(namesOf).join(' ')}`;
}

function fishOfStarter(command: Command): string[] {
  return optionsOf(command).map((option) => fishLine(option, quote(`__tapster_in_options ${command.name()}`)));
}

function fishOfEngine(command: Command): string[] {
  const condition = quote(
    `__fish_seen_subcommand_from ${command.name()}; and test (commandline -opc)[2] = ${command.name()}`,
  );
  const lines = optionsOf(command).map((option) => fishLine(option, condition));
  if (takesFiles(command)) lines.push(`complete -c tapster -n ${condition} -F`);
  if (command.name() === 'ctl') lines.push(`complete -c tapster -n ${condition} -a ${quote(ctlWords())}`);
  return lines;
}

function fishLine(option: Option, condition: string): string {
  const words = [`complete -c tapster -n ${condition}`];
  if (option.short !== undefined) words.push(`-s ${option.short.slice(1)}`);
  if (option.long !== undefined) words.push(`-l ${option.long.slice(2)}`);
  if (option.required) words.push(takesFile(option) ? '-r -F' : '-x');
  if (option.argChoices !== undefined) words.push(`-a ${quote(option.argChoices.join(' '))}`);
  words.push(`-d ${quote(option.description)}`);
  return words.join(' ');
}

function takesFile(option: Option): boolean {
  return option.required && /<(FILE|PATH)>/.test(option.flags);
}

function valueName(option: Option): string {
  return /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1]?.toLowerCase() ?? 'value';
}

/** In single quotes; a quote itself stands between two quoted pieces, which all three shells understand. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
