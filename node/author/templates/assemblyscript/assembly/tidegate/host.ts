// What the node offers.

export enum Level {
  Trace,
  Debug,
  Info,
  Warn,
  Error,
}

// @ts-ignore: decorator
@external("tidegate:plugin/host@0.1.0", "log")
declare function host_log(level: u32, message: usize, len: usize): void;
// @ts-ignore: decorator
@external("tidegate:plugin/host@0.1.0", "count")
declare function host_count(metric: usize, len: usize, by: u64): void;

/** A line in the node's log, under the plugin's name. */
export function log(level: Level, message: string): void {
  const bytes = String.UTF8.encode(message);
  host_log(level, changetype<usize>(bytes), bytes.byteLength);
}

/** Adds to a counter of the plugin's own; its name is a-z 0-9 _. */
export function count(metric: string, by: u64): void {
  const bytes = String.UTF8.encode(metric);
  host_count(changetype<usize>(bytes), bytes.byteLength, by);
}

/** Where `throw` and failed assertions end: the node tells the text as the reason. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const what = message === null ? "stopped" : message;
  const where = file === null ? "" : ` (${file}:${line.toString()}:${column.toString()})`;
  log(Level.Error, what + where);
  unreachable();
}
