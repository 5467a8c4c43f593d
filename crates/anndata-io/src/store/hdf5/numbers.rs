//! Whether numbers fill their bytes as those of processors do. HDF5 knows integers of ten bits within
//! sixteen, and floats of any layout; `hdf5-reader` keeps no more of a type than its size and order.

/// Of a datatype message, the first number that is laid out otherwise, described. A message that
/// is cut short has none: what it means was read before.
pub(super) fn unusual_number(message: &[u8]) -> Option<String> {
    let mut reader = Reader { message, at: 0 };
    reader.datatype(0).err().and_then(|stop| match stop {
        Stop::Unusual(what) => Some(what),
        Stop::End => None,
    })
}

enum Stop {
    Unusual(String),
    End,
}

/// Types within types are not deeper.
const DEEPEST: usize = 32;

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], Stop> {
        let end = self.at.checked_add(n).ok_or(Stop::End)?;
        let bytes = self.message.get(self.at..end).ok_or(Stop::End)?;
        self.at = end;
        Ok(bytes)
    }

    fn uint(&mut self, n: usize) -> Result<u64, Stop> {
        let bytes = self.take(n)?.iter().rev();
        Ok(bytes.fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// A name and the zero byte after it, which old versions pad.
    fn name(&mut self, version: u64) -> Result<(), Stop> {
        let rest = self.message.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| byte == 0).ok_or(Stop::End)? + 1;
        let len = if version < 3 {
            len.next_multiple_of(8)
        } else {
            len
        };
        self.take(len).map(|_| ())
    }

    /// Passes over a type; gives its size.
    fn datatype(&mut self, depth: usize) -> Result<u64, Stop> {
        if depth > DEEPEST {
            return Err(Stop::End);
        }
        let head = self.uint(4)?;
        let (class, version, flags) = (head & 0xf, head >> 4 & 0xf, head >> 8);
        let size = self.uint(4)?;
        match class {
            // Integers.
            0 => {
                let (offset, precision) = (self.uint(2)?, self.uint(2)?);
                if offset != 0 || precision != size * 8 {
                    let what = format!("integers of {precision} bits in {size} bytes");
                    return Err(Stop::Unusual(what));
                }
            }
            // Floats.
            1 => self.float(size, flags)?,
            // Times, bit fields, opaque bytes: never read as numbers.
            2 => self.take(2).map(|_| ())?,
            4 => self.take(4).map(|_| ())?,
            5 => self.take((flags & 0xff) as usize).map(|_| ())?,
            // Records.
            6 => {
                for _ in 0..flags & 0xffff {
                    self.name(version)?;
                    let offset_len = match version {
                        1 => 4 + 28,
                        2 => 4,
                        _ => (1..4).find(|n| size < 1 << (8 * n)).unwrap_or(4),
                    };
                    self.take(offset_len)?;
                    self.datatype(depth + 1)?;
                }
            }
            // Enumerations: names, then values.
            8 => {
                let value_len = self.datatype(depth + 1)?;
                let n_members = flags & 0xffff;
                for _ in 0..n_members {
                    self.name(version)?;
                }
                let len = n_members.checked_mul(value_len).ok_or(Stop::End)?;
                self.take(usize::try_from(len).map_err(|_| Stop::End)?)?;
            }
            // Sequences.
            9 => self.datatype(depth + 1).map(|_| ())?,
            // Arrays.
            10 => {
                let rank = self.uint(1)? as usize;
                let len = if version < 3 { 3 + 8 * rank } else { 4 * rank };
                self.take(len)?;
                self.datatype(depth + 1)?;
            }
            // Texts and references have no more.
            _ => {}
        }
        Ok(size)
    }

    fn float(&mut self, size: u64, flags: u64) -> Result<(), Stop> {
        let (offset, precision) = (self.uint(2)?, self.uint(2)?);
        let (exponent, exponent_len) = (self.uint(1)?, self.uint(1)?);
        let (mantissa, mantissa_len) = (self.uint(1)?, self.uint(1)?);
        let bias = self.uint(4)?;
        let layout = (exponent, exponent_len, mantissa, mantissa_len, bias);
        let is_ieee = match size {
            2 => layout == (10, 5, 0, 10, 15),
            4 => layout == (23, 8, 0, 23, 127),
            8 => layout == (52, 11, 0, 52, 1023),
            // Refused for its size.
            _ => return Ok(()),
        };
        // Bit 6 tells of VAX's order of bytes.
        if !is_ieee || offset != 0 || precision != size * 8 || flags & 0x40 != 0 {
            let what = format!("floats of {size} bytes that are not those of IEEE 754");
            return Err(Stop::Unusual(what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_fill_their_bytes_are_usual() {
        let int16 = [0x10, 8, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0];
        assert_eq!(unusual_number(&int16), None);
        let float32 = [
            0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0,
        ];
        assert_eq!(unusual_number(&float32), None);
        assert_eq!(unusual_number(&float32[..12]), None);
    }

    #[test]
    fn numbers_of_fewer_bits_are_named() {
        let ten_bits = [0x10, 8, 0, 0, 2, 0, 0, 0, 0, 0, 10, 0];
        assert_eq!(
            unusual_number(&ten_bits).as_deref(),
            Some("integers of 10 bits in 2 bytes")
        );
        let bfloat16 = [
            0x11, 0x20, 15, 0, 2, 0, 0, 0, 0, 0, 16, 0, 7, 8, 0, 7, 127, 0, 0, 0,
        ];
        assert!(
            unusual_number(&bfloat16).is_some_and(|what| what.starts_with("floats of 2 bytes"))
        );
        // A record of a one-byte name and such an integer.
        let record = [&[0x36, 1, 0, 0, 2, 0, 0, 0, b'n', 0, 0][..], &ten_bits].concat();
        assert!(unusual_number(&record).is_some());
    }
}
