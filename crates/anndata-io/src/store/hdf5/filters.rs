//! Filters of HDF5: their names, and the codecs that undo them.

use hdf5_reader::messages::filter_pipeline::FilterPipelineMessage;

use crate::array::decode::{Codec, CodecPipeline};
use crate::error::{ErrorKind, LIBRARY_OR_REWRITE};

/// Returns the name of a filter by its number.
pub(in crate::store) fn filter_name(id: u16) -> Option<&'static str> {
    Some(match id {
        1 => "deflate",
        2 => "shuffle",
        3 => "fletcher32",
        4 => "szip",
        5 => "nbit",
        6 => "scaleoffset",
        307 => "bzip2",
        32000 => "lzf",
        32001 => "blosc",
        32004 => "lz4",
        32008 => "bitshuffle",
        32015 => "zstd",
        32026 => "blosc2",
        _ => return None,
    })
}

/// Returns the codecs of a dataset whose elements take `item` bytes.
pub(super) fn pipeline(
    filters: &FilterPipelineMessage,
    item: usize,
) -> Result<CodecPipeline, ErrorKind> {
    let codecs = filters.filters.iter().map(|filter| {
        Ok(match filter.id {
            1 => Codec::Deflate,
            2 => Codec::Shuffle {
                element_size: filter
                    .client_data
                    .first()
                    .map_or(item, |&size| size as usize),
            },
            3 => Codec::Fletcher32,
            32000 => Codec::Lzf,
            32001 => Codec::Blosc,
            32004 => Codec::Lz4Hdf5,
            32015 => Codec::Zstd,
            id => {
                let known = filter_name(id).or(filter.name.as_deref());
                let what = format!("the HDF5 filter {} ({id})", known.unwrap_or("unknown"));
                let way_out = match id {
                    5 | 6 => LIBRARY_OR_REWRITE,
                    _ => "rewrite the file with gzip, lzf, zstd, lz4 or blosc",
                };
                return Err(ErrorKind::unsupported(what, way_out));
            }
        })
    });
    Ok(CodecPipeline::new(codecs.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdf5_reader::messages::filter_pipeline::FilterDescription;

    fn of(filters: &[(u16, &[u32])]) -> Result<CodecPipeline, ErrorKind> {
        let filters = filters.iter().map(|&(id, client_data)| FilterDescription {
            id,
            name: (id == 999).then(|| "own".to_owned()),
            client_data: client_data.to_vec(),
        });
        let filters = filters.collect();
        pipeline(&FilterPipelineMessage { filters }, 8)
    }

    #[test]
    fn pipeline_has_the_filters_in_the_order_of_writing() {
        let codecs = vec![
            Codec::Shuffle { element_size: 4 },
            Codec::Deflate,
            Codec::Fletcher32,
        ];
        let found = of(&[(2, &[4]), (1, &[6]), (3, &[])]);
        assert_eq!(found.expect("known"), CodecPipeline::new(codecs));
        let shuffle = CodecPipeline::new(vec![Codec::Shuffle { element_size: 8 }]);
        assert_eq!(
            of(&[(2, &[])]).expect("known"),
            shuffle,
            "the size of an element"
        );
        assert!(of(&[]).expect("no filters").is_empty());
    }

    #[test]
    fn pipeline_names_an_unsupported_filter() {
        for (id, says) in [
            (4, "the HDF5 filter szip (4)"),
            (5, "the HDF5 filter nbit (5)"),
            (999, "the HDF5 filter own (999)"),
            (998, "the HDF5 filter unknown (998)"),
        ] {
            let error = of(&[(id, &[])]).expect_err("not read").to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
