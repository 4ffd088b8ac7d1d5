/** Columns: typed arrays with an entry for each row of a table. */

/** A longer column with what the shorter one held; behind it what the longer one has. */
export function grown<Column extends Uint8Array | Uint16Array | Int32Array | Float64Array>(
  column: Column,
  longer: Column,
): Column {
  longer.set(column as never);
  return longer;
}
