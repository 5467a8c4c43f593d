use super::*;

fn item(message: &[u8]) -> Result<Item, Refusal> {
    let datatype = Datatype::parse(message).expect("a whole message");
    datatype.item(|| TextEncoding::Vlen)
}

fn dtype(message: &[u8]) -> Option<DType> {
    match item(message).ok()?.item {
        ItemType::Number(dtype) => Some(dtype),
        ItemType::Text(_) => None,
    }
}

/// An integer of this many bytes.
fn integer(size: u8, flags: u8) -> Vec<u8> {
    vec![0x10, flags, 0, 0, size, 0, 0, 0, 0, 0, size * 8, 0]
}

/// An enumeration over such an integer.
fn enumeration(base: &[u8], members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut message = vec![0x38, members.len() as u8, 0, 0, base[4], 0, 0, 0];
    message.extend(base);
    for (name, _) in members {
        message.extend(name.as_bytes());
        message.push(0);
    }
    members.iter().for_each(|(_, value)| message.extend(*value));
    message
}

fn float(size: u8, flags: [u8; 2], parts: [u8; 4], bias: u32) -> Vec<u8> {
    let mut message = vec![0x11, flags[0], flags[1], 0, size, 0, 0, 0, 0, 0, 0, 0];
    message.extend(parts);
    message.extend(bias.to_le_bytes());
    message
}

#[test]
fn integers_of_every_width_and_order_are_recognised() {
    assert_eq!(dtype(&integer(2, 8)), Some(DType::I16));
    assert_eq!(dtype(&integer(4, 0)), Some(DType::U32));
    assert!(item(&integer(8, 1)).is_ok_and(|item| item.big_endian));
    // A bit field uses the sign bit as an ordinary bit.
    let bits = [0x14, 8, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0];
    assert_eq!(dtype(&bits), Some(DType::U16));
    let error = item(&integer(3, 0)).expect_err("numpy has none");
    assert!(error.0.contains("3 bytes"), "{error:?}");
    let ten_bits = [0x10, 8, 0, 0, 2, 0, 0, 0, 0, 0, 10, 0];
    let error = item(&ten_bits).expect_err("not read");
    assert_eq!(error.0, "integers of 10 bits in 2 bytes");
}

#[test]
fn enumeration_of_two_truth_names_is_boolean_at_any_width() {
    for size in [1, 2, 4, 8] {
        for big_endian in [0, 1] {
            let mut one = vec![0; usize::from(size)];
            one[if big_endian == 1 {
                usize::from(size) - 1
            } else {
                0
            }] = 1;
            let zero = vec![0; usize::from(size)];
            let base = integer(size, 8 | big_endian);
            let members: [(&str, &[u8]); 2] = [("TRUE", &one), ("FALSE", &zero)];
            let found = item(&enumeration(&base, &members)).expect("read");
            assert_eq!(found.item, ItemType::Number(DType::Bool));
            let wide = Conversion::Truth(usize::from(size));
            assert_eq!(found.conversion, (size > 1).then_some(wide));
        }
    }
}

#[test]
fn enumeration_of_other_names_is_read_as_integers() {
    let base = integer(1, 0);
    for members in [
        &[("FALSE", &[1][..]), ("TRUE", &[0])][..],
        &[("FALSE", &[0]), ("TRUE", &[2])],
        &[("FALSE", &[0])],
        &[("no", &[0]), ("yes", &[1])],
        &[("FALSE", &[0]), ("TRUE", &[1]), ("maybe", &[2])],
        &[("FALSE", &[0]), ("TRUE", &[1]), ("NA", &[1])],
    ] {
        let found = item(&enumeration(&base, members)).expect("read");
        assert_eq!(found.item, ItemType::Number(DType::U8), "{members:?}");
        assert_eq!(found.missing, None, "{members:?}");
    }
}

#[test]
fn logicals_record_the_missing_value() {
    let members: [(&str, &[u8]); 3] = [("FALSE", &[0]), ("TRUE", &[1]), ("NA", &[2])];
    let found = item(&enumeration(&integer(1, 0), &members)).expect("read");
    assert_eq!(found.item, ItemType::Number(DType::U8));
    assert_eq!(found.missing, Some(2));
    // R itself uses the smallest integer; here, the most significant byte is first.
    let members: [(&str, &[u8]); 3] = [
        ("NA", &[128, 0, 0, 0]),
        ("FALSE", &[0; 4]),
        ("TRUE", &[0, 0, 0, 1]),
    ];
    let found = item(&enumeration(&integer(4, 9), &members)).expect("read");
    assert_eq!(found.item, ItemType::Number(DType::I32));
    assert_eq!(found.missing, Some(1 << 31));
}

#[test]
fn floats_follow_their_layout() {
    let ieee = float(4, [0x20, 31], [23, 8, 0, 23], 127);
    assert_eq!(dtype(&ieee), Some(DType::F32));
    assert!(item(&ieee).is_ok_and(|item| item.conversion.is_none()));
    let bfloat16 = float(2, [0x20, 15], [7, 8, 0, 7], 127);
    assert_eq!(dtype(&bfloat16), Some(DType::F32));
    let x87 = float(16, [0, 79], [64, 15, 0, 64], 16383);
    assert_eq!(dtype(&x87), Some(DType::F64));
    assert!(item(&x87).is_ok_and(|item| item.conversion.is_some()));
    // VAX's byte order, a leading bit that is always one, a sign within the mantissa, eight bits.
    for refused in [
        float(8, [0x61, 63], [52, 11, 0, 52], 1023),
        float(8, [0x10, 63], [52, 11, 0, 52], 1023),
        float(8, [0x20, 3], [52, 11, 0, 52], 1023),
        float(1, [0x20, 7], [3, 4, 0, 3], 7),
    ] {
        let (what, way_out) = item(&refused).expect_err("not read");
        assert!(what.starts_with("floats of"), "{what}");
        assert!(way_out.contains("astype"), "{way_out}");
    }
}

#[test]
fn attribute_integers_of_every_width_are_read() {
    assert_eq!(integers(&[255, 1], 1, true, false), [-1, 1]);
    assert_eq!(integers(&[255, 255], 2, false, false), [65535]);
    assert_eq!(integers(&[0, 0, 1, 0], 4, true, true), [256]);
    assert_eq!(integers(&(-5i64).to_le_bytes(), 8, true, false), [-5]);
    let double = float(8, [0x20, 63], [52, 11, 0, 52], 1023);
    let double = Datatype::parse(&double).expect("whole");
    let bytes = |values: [f64; 2]| values.map(f64::to_le_bytes).concat();
    assert_eq!(double.integers(&bytes([12.0, 7.0])), Ok(vec![12, 7]));
    let error = double.integers(&bytes([12.5, 7.0]));
    assert_eq!(error, Err("[12.5, 7.0]".to_owned()));
}
