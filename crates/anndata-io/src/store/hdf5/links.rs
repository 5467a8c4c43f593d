//! Links: the names in a group, and their targets.

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::io::Cursor;

use super::errors::invalid;

/// The target of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The object at an address.
    Object(u64),
    /// A path.
    Path(String),
    /// A link of this type, which is not followed.
    Unsupported(u8),
    /// Nowhere: the fault of the link.
    Damaged(&'static str),
}

/// A link as it stands in a header or a heap.
pub(super) struct Link {
    pub(super) name: Vec<u8>,
    pub(super) order: Option<u64>,
    pub(super) target: Target,
}

impl Link {
    /// Reads a link message, at least up to its name; addresses take `offset_size` bytes.
    pub(super) fn parse(bytes: &[u8], offset_size: u8) -> Result<Link, Hdf5Error> {
        let mut cursor = Cursor::new(bytes);
        if cursor.read_u8()? != 1 {
            return Err(invalid("a link of an unknown version"));
        }
        let flags = cursor.read_u8()?;
        let kind = if flags & 8 != 0 { cursor.read_u8()? } else { 0 };
        let order = (flags & 4 != 0).then(|| cursor.read_u64_le()).transpose()?;
        if flags & 16 != 0 {
            cursor.skip(1)?; // the character encoding of the name; all are read as UTF-8
        }
        let len = cursor.read_uvar(1 << (flags & 3))?;
        let len = usize::try_from(len).map_err(|_| invalid("a link with a name too long"))?;
        let name = cursor.read_bytes(len)?.to_vec();
        let target = match kind {
            0 => cursor.read_offset(offset_size).map(Target::Object).ok(),
            1 => cursor
                .read_u16_le()
                .and_then(|len| cursor.read_bytes(len.into()))
                .map(Target::of_path)
                .ok(),
            kind => Some(Target::Unsupported(kind)),
        };
        let target = target.unwrap_or(Target::Damaged("a link that ends too early"));
        Ok(Link {
            name,
            order,
            target,
        })
    }
}

impl Target {
    /// Returns the target of a link to a path.
    pub(super) fn of_path(path: &[u8]) -> Target {
        // The message states the length of a path, so the path may contain a zero byte.
        match std::str::from_utf8(path) {
            // The C library follows it to the group itself.
            Ok("") => Target::Damaged("a link to an empty path"),
            Ok(path) if !path.contains('\0') => Target::Path(path.to_owned()),
            _ => Target::Damaged("a link to a path that is not UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link named `a`, with the given bytes after the name.
    fn link(flags: u8, before: &[u8], after: &[u8]) -> Result<Link, Hdf5Error> {
        let bytes = [&[1, flags], before, &[1, b'a'], after].concat();
        Link::parse(&bytes, 8)
    }

    #[test]
    fn link_parse_follows_its_flags() {
        let hard = link(0, &[], &7u64.to_le_bytes()).expect("whole");
        assert_eq!((hard.name.as_slice(), hard.order), (&b"a"[..], None));
        assert_eq!(hard.target, Target::Object(7));
        let soft = link(8, &[1], b"\x03\0X/b").expect("whole");
        assert_eq!(soft.target, Target::Path("X/b".to_owned()));
        let order = 5u64.to_le_bytes();
        let ordered = link(4, &order, &7u64.to_le_bytes()).expect("whole");
        assert_eq!(ordered.order, Some(5));
        let external = link(8, &[64], b"").expect("as far as its name");
        assert_eq!(external.target, Target::Unsupported(64));
    }

    #[test]
    fn link_parse_keeps_the_name_of_a_damaged_link() {
        let cut = link(0, &[], &[7, 0]).expect("as far as its name");
        assert!(matches!(cut.target, Target::Damaged(_)), "{:?}", cut.target);
        let cut = link(8, &[1], b"\x09\0X/b").expect("as far as its name");
        assert!(matches!(cut.target, Target::Damaged(_)), "{:?}", cut.target);
        assert!(Link::parse(&[2, 0, 1, b'a'], 8).is_err(), "another version");
        assert!(
            Link::parse(&[1, 0, 9, b'a'], 8).is_err(),
            "a name that is cut"
        );
    }

    #[test]
    fn target_of_path_accepts_only_paths_that_can_be_followed() {
        assert_eq!(
            Target::of_path(b"/obs/a"),
            Target::Path("/obs/a".to_owned())
        );
        for path in [&b""[..], b"a\0b", b"\xff"] {
            assert!(
                matches!(Target::of_path(path), Target::Damaged(_)),
                "{path:?}"
            );
        }
    }
}
