// One field of a JSON object, without parsing the rest, and numbers.

/** The name of a field, encoded once. Names with escapes are not found. */
export class FieldName {
  readonly bytes: ArrayBuffer;
  constructor(name: string) {
    this.bytes = String.UTF8.encode(name);
  }
}

/** Where the last field that was found begins and ends. */
export let fieldStart: usize = 0;
export let fieldEnd: usize = 0;

const QUOTE: u8 = 0x22;
const BACKSLASH: u8 = 0x5c;
const COMMA: u8 = 0x2c;

function isSpace(c: u8): bool {
  return c == 0x20 || (c >= 9 && c <= 13);
}

function space(at: usize, end: usize): usize {
  while (at < end && isSpace(load<u8>(at))) at++;
  return at;
}

/** Behind a string whose quote is at `at`; 0 where it does not end. */
function skipString(at: usize, end: usize): usize {
  for (at++; at < end; at++) {
    const c = load<u8>(at);
    if (c == BACKSLASH) at++;
    else if (c == QUOTE) return at + 1;
  }
  return 0;
}

/** Behind a value of any kind; 0 where it does not end. */
function skipValue(at: usize, end: usize): usize {
  let depth = 0;
  while (at < end) {
    const c = load<u8>(at);
    if (c == QUOTE) {
      at = skipString(at, end);
      if (!at || !depth) return at;
    } else if (c == 0x7b || c == 0x5b) {
      depth++;
      at++;
    } else if (c == 0x7d || c == 0x5d) {
      if (!depth) return at;
      at++;
      if (!--depth) return at;
    } else if (!depth && (c == COMMA || isSpace(c))) {
      return at;
    } else {
      at++;
    }
  }
  return depth ? 0 : at;
}

/** Finds a field; its raw text lies from fieldStart to fieldEnd. */
export function findField(at: usize, len: usize, name: FieldName): bool {
  const end = at + len;
  const wanted = name.bytes.byteLength;
  at = space(at, end);
  if (at == end || load<u8>(at) != 0x7b) return false;
  at = space(at + 1, end);
  while (at < end && load<u8>(at) == QUOTE) {
    const key = at + 1;
    at = skipString(at, end);
    if (!at) return false;
    const same =
      <i32>(at - 1 - key) == wanted &&
      memory.compare(key, changetype<usize>(name.bytes), wanted) == 0;
    at = space(at, end);
    if (at == end || load<u8>(at) != 0x3a) return false;
    const start = space(at + 1, end);
    at = skipValue(start, end);
    if (!at || at == start) return false;
    if (same) {
      fieldStart = start;
      fieldEnd = at;
      return true;
    }
    at = space(at, end);
    if (at == end || load<u8>(at) != COMMA) return false;
    at = space(at + 1, end);
  }
  return false;
}

/** The number in the field that was found last; NaN where it is none. */
export function fieldNumber(): f64 {
  let at = fieldStart;
  let mantissa: u64 = 0;
  let digits = 0;
  let scale = 0;
  let point = false;
  const negative = at < fieldEnd && load<u8>(at) == 0x2d;
  if (negative) at++;
  const first = at;
  for (; at < fieldEnd; at++) {
    const c = load<u8>(at);
    if (c >= 0x30 && c <= 0x39) {
      mantissa = mantissa * 10 + (c - 0x30);
      digits++;
      if (point) scale++;
    } else if (c == 0x2e && !point && at > first) {
      point = true;
    } else {
      break;
    }
  }
  if (!digits) return NaN;
  // Fifteen digits and a small power of ten are exact as floats, and so is their quotient, rounded.
  if (at == fieldEnd && digits <= 15) {
    const number = <f64>mantissa / power(scale);
    return negative ? -number : number;
  }
  for (; at < fieldEnd; at++) {
    const c = load<u8>(at);
    if (!((c >= 0x30 && c <= 0x39) || c == 0x2b || c == 0x2d || (c | 0x20) == 0x65)) return NaN;
  }
  return F64.parseFloat(String.UTF8.decodeUnsafe(fieldStart, fieldEnd - fieldStart));
}

function power(n: i32): f64 {
  let power: f64 = 1;
  for (let i = 0; i < n; i++) power *= 10;
  return power;
}
