/** Which of the known words somebody meant. */

const WORD_MAX = 64;

/** The known word that is the fewest slips away, where that is few for its length; undefined: none is near. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  if (word.length > WORD_MAX) return undefined;
  const plain = fold(word);
  let best: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const each of known) {
    const count = slips(plain, fold(each));
    if (count < fewest && count <= Math.max(1, Math.floor(each.length / 3))) {
      best = each;
      fewest = count;
    }
  }
  return best;
}

/** `: did you mean "x"?`, or nothing. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const near = nearest(word, known);
  return near === undefined ? '' : `: did you mean "${near}"?`;
}

/** Case and separators are no slips: `host_mtu` and `host-mtu` are `hostMtu`. */
function fold(word: string): string {
  return word.toLowerCase().replace(/[_-]/g, '');
}

/** Letters added, left out, replaced or swapped with their neighbour (Damerau and Levenshtein, "optimal string alignment"). */
function slips(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let count = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) count = Math.min(count, before[j - 2]! + 1);
      row.push(count);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
