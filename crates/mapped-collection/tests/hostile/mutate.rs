//! Changes that a hostile writer might make, drawn from a seed.

use serde_json::Value;

/// SplitMix64: the same numbers everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn one<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

/// What is known of the bytes of a file that is mutated.
pub(crate) struct Marks {
    /// Where structures begin.
    starts: Vec<usize>,
    /// Structures of HDF5 that a checksum follows, so that it can be made to fit again: begin, and
    /// where the checksum stands.
    sums: Vec<(usize, usize)>,
}

const SIGNATURES: [&[u8; 4]; 26] = [
    b"\x89HDF",
    b"TREE",
    b"SNOD",
    b"HEAP",
    b"GCOL",
    b"OHDR",
    b"OCHK",
    b"BTHD",
    b"BTLF",
    b"BTIN",
    b"FRHP",
    b"FHDB",
    b"FHIB",
    b"FAHD",
    b"FADB",
    b"EAHD",
    b"EAIB",
    b"EASB",
    b"EADB",
    b"SMTB",
    b"SMLI",
    b"FSHD",
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
];
/// Those of them that end in a checksum, and how long they are at the most.
const CHECKED: std::ops::Range<usize> = 5..22;
const LONGEST: usize = 1024;

impl Marks {
    pub(crate) fn of(bytes: &[u8]) -> Marks {
        let mut marks = Marks {
            starts: vec![0],
            sums: Vec::new(),
        };
        for at in 0..bytes.len().saturating_sub(4) {
            let Some(kind) = SIGNATURES.iter().position(|s| bytes[at..].starts_with(*s)) else {
                continue;
            };
            marks.starts.push(at);
            if kind == 0 || CHECKED.contains(&kind) {
                let longest = LONGEST.min(bytes.len() - at - 4);
                let sum = |end: usize| {
                    let stored = bytes[end..end + 4].try_into().expect("4 bytes");
                    hdf5_reader::checksum::jenkins_lookup3(&bytes[at..end])
                        == u32::from_le_bytes(stored)
                };
                marks.sums.extend(
                    (at + 8..at + longest)
                        .find(|&end| sum(end))
                        .map(|end| (at, end)),
                );
            }
        }
        marks
    }

    /// Makes the checksums of structures that were changed fit again.
    fn mend(&self, original: &[u8], bytes: &mut [u8]) {
        for &(start, end) in &self.sums {
            if end + 4 <= bytes.len() && bytes[start..end] != original[start..end] {
                let sum = hdf5_reader::checksum::jenkins_lookup3(&bytes[start..end]);
                bytes[end..end + 4].copy_from_slice(&sum.to_le_bytes());
            }
        }
    }

    /// A place in the file, of the structure more often than not.
    fn place(&self, random: &mut Random, bytes: &[u8]) -> usize {
        let len = bytes.len();
        let at = match random.below(8) {
            0 => random.below(len),
            1..=4 => random.one(&self.starts) + random.below(128),
            _ => {
                // What is not zero, or shortly after it.
                let tries = (0..16).map(|_| random.below(len)).collect::<Vec<_>>();
                let found = tries.iter().find(|&&at| bytes[at] != 0);
                found.copied().unwrap_or(tries[0]) & !3
            }
        };
        at.min(len.saturating_sub(1))
    }

    /// A changed copy of bytes without structure, or those bytes.
    pub(crate) fn any_mutant(&self, random: &mut Random, original: &[u8]) -> Vec<u8> {
        match random.below(8) {
            0 => original.to_vec(),
            1 => original[..random.below(original.len())].to_vec(),
            _ => self.mutate(random, original),
        }
    }

    /// A changed copy of a file.
    pub(crate) fn mutate(&self, random: &mut Random, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        if bytes.is_empty() {
            return vec![0; random.below(64)];
        }
        let n = [1, 1, 1, 1, 2, 3, 8][random.below(7)];
        let mut same_length = true;
        for _ in 0..n {
            let at = self.place(random, &bytes);
            match random.below(16) {
                0..=3 => bytes[at] ^= 1 << random.below(8),
                4 => bytes[at] = random.next() as u8,
                5..=11 => word(random, &mut bytes, at),
                12 | 13 => {
                    // What stands elsewhere, in the place of this.
                    let from = self.place(random, &bytes);
                    let len = [1, 2, 4, 8, 8, 16, 64, 512][random.below(8)];
                    let len = len.min(bytes.len() - at).min(bytes.len() - from);
                    bytes.copy_within(from..from + len, at);
                }
                14 => {
                    let len = [2, 4, 8, 32, 128][random.below(5)].min(bytes.len() - at);
                    let any = random.next() as u8;
                    let fill = random.one(&[0, 0xff, 0x20, any]);
                    bytes[at..at + len].fill(fill);
                }
                _ if random.below(4) == 0 => {
                    let len = [1, 4, 8, 100][random.below(4)].min(bytes.len() - at);
                    if random.below(2) == 0 {
                        bytes.drain(at..at + len);
                    } else {
                        let part = bytes[at..at + len].to_vec();
                        bytes.splice(at..at, part);
                    }
                    same_length = false;
                }
                _ => word(random, &mut bytes, at),
            }
            if bytes.is_empty() {
                return bytes;
            }
        }
        if same_length && random.below(8) != 0 {
            self.mend(original, &mut bytes);
        }
        bytes
    }
}

/// Overwrites a word of 2, 4 or 8 bytes by one that lengths and offsets are seldom.
fn word(random: &mut Random, bytes: &mut [u8], at: usize) {
    let len = bytes.len() as u64;
    let size = [1, 2, 4, 8, 8][random.below(5)];
    let at = if random.below(2) == 0 {
        at
    } else {
        at & !(size - 1)
    };
    let size = size.min(bytes.len() - at);
    let mut old = [0; 8];
    old[..size].copy_from_slice(&bytes[at..at + size]);
    let old = u64::from_le_bytes(old);
    let other = random.next();
    let new = match random.below(20) {
        0 => 0,
        1 => 1,
        2 | 3 => u64::MAX,
        4 => i64::MAX as u64,
        5 => i32::MAX as u64,
        6 => 1 << 63,
        7 => 1 << 31,
        8 | 9 => old.wrapping_add(1),
        10 | 11 => old.wrapping_sub(1),
        12 => old.wrapping_mul(2),
        13 => old << 8 | 0xff,
        14 => len,
        15 => len - 1,
        16 => other % len,
        17 => 1 << (other % 48),
        18 => (1 << (other % 63)) - 1,
        _ => other,
    };
    bytes[at..at + size].copy_from_slice(&new.to_le_bytes()[..size]);
}

/// A changed JSON document: one or more values replaced or removed; now and then the text itself.
pub(crate) fn json(random: &mut Random, original: &[u8]) -> Vec<u8> {
    let document = serde_json::from_slice::<Value>(original);
    let Ok(mut document) = document else {
        return Marks::of(original).mutate(random, original);
    };
    if random.below(10) == 0 {
        return Marks::of(original).mutate(random, original);
    }
    for _ in 0..[1, 1, 1, 2, 3][random.below(5)] {
        let n = count(&document);
        let donor = nth(&mut document.clone(), random.below(n)).cloned();
        let at = random.below(n);
        if random.below(6) == 0 {
            remove(random, &mut document);
        } else if let Some(value) = nth(&mut document, at) {
            *value = other(random, value, donor.unwrap_or_default());
        }
    }
    serde_json::to_vec(&document).expect("a JSON value")
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(list) => Box::new(list.iter()),
        Value::Object(map) => Box::new(map.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn count(value: &Value) -> usize {
    1 + children(value).map(count).sum::<usize>()
}

/// Value number `at` of a document, in the order of its text.
fn nth(value: &mut Value, mut at: usize) -> Option<&mut Value> {
    if at == 0 {
        return Some(value);
    }
    at -= 1;
    let children: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(list) => Box::new(list.iter_mut()),
        Value::Object(map) => Box::new(map.values_mut()),
        _ => return None,
    };
    for child in children {
        let n = count(child);
        if at < n {
            return nth(child, at);
        }
        at -= n;
    }
    None
}

fn remove(random: &mut Random, document: &mut Value) {
    let at = random.below(count(document));
    match nth(document, at) {
        Some(Value::Object(map)) if !map.is_empty() => {
            let key = map.keys().nth(random.below(map.len())).cloned();
            map.remove(&key.expect("within the length"));
        }
        Some(Value::Array(list)) if !list.is_empty() => {
            let at = random.below(list.len());
            list.remove(at);
        }
        Some(value) => *value = Value::Null,
        None => {}
    }
}

const TEXTS: [&str; 44] = [
    "",
    "x",
    "/",
    "..",
    "../..",
    "a/b",
    "\u{0}",
    "C",
    "F",
    "|O",
    "|b1",
    "|u1",
    "<i8",
    ">i8",
    "<f2",
    "<f4",
    ">f8",
    "<f16",
    "<c16",
    "<U1",
    "<U2147483647",
    "<U18446744073709551615",
    "|S0",
    "|S1",
    "|S4294967295",
    "bool",
    "int8",
    "uint64",
    "float16",
    "string",
    "complex64",
    "r16",
    "blosc",
    "zstd",
    "gzip",
    "lz4",
    "zlib",
    "bytes",
    "crc32c",
    "transpose",
    "sharding_indexed",
    "vlen-utf8",
    "shuffle",
    "fixed_length_utf32",
];

/// A value to stand in the place of another.
fn other(random: &mut Random, old: &Value, donor: Value) -> Value {
    let numbers = [
        0u64,
        1,
        2,
        3,
        255,
        256,
        65_536,
        1 << 31,
        1 << 32,
        1 << 40,
        1 << 48,
        1 << 53,
        1 << 60,
        1 << 63,
        i32::MAX as u64,
        i64::MAX as u64,
        u64::MAX,
    ];
    if let (Some(n), true) = (old.as_u64(), random.below(3) == 0) {
        return match random.below(4) {
            0 => n.wrapping_add(1),
            1 => n.wrapping_sub(1),
            2 => n.wrapping_mul(2),
            _ => n.wrapping_mul(1000),
        }
        .into();
    }
    if let (Value::Array(list), true) = (old, random.below(2) == 0) {
        let mut list = list.clone();
        let value = list.first().cloned().unwrap_or(1.into());
        match random.below(4) {
            0 => list.push(random.one(&numbers).into()),
            1 => list.push(value),
            2 => list = vec![value; [33, 65, 300][random.below(3)]],
            _ => list.reverse(),
        }
        return Value::Array(list);
    }
    match random.below(12) {
        0..=3 => random.one(&numbers).into(),
        4 => Value::from(-(random.one(&[1i64, 2, 1 << 31, i64::MAX]))),
        5 => random.one(&[0.5, -1.5, 1e300, -0.0]).into(),
        6 | 7 => random.one(&TEXTS).into(),
        8 => random.one(&[
            Value::Null,
            true.into(),
            Value::Array(vec![]),
            serde_json::json!({}),
        ]),
        9 => {
            let depth = random.one(&[3, 100, 200]);
            (0..depth).fold(Value::Null, |value, _| Value::Array(vec![value]))
        }
        _ => donor,
    }
}
